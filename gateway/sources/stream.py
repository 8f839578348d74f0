"""Live streams that FFmpeg receives: network cameras and devices."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.stream import VideoStream

from gateway.domain.clock import Clock
from gateway.domain.frame import Frame
from gateway.domain.ports import Gate
from gateway.errors import (
    SourceFormatError,
    SourceRefusedError,
    SourceUnavailableError,
)
from gateway.sources.decoder import MAX_PIXELS, StreamDecoder, VideoPacket
from gateway.sources.feed import Feed, Patience
from gateway.sources.packets import PacketRing, stream_format
from gateway.sources.picture import MEGAPIXELS
from gateway.sources.timeline import LiveTimeline

DEFAULT_FPS = 25.0
FASTEST_FPS = 240.0
WAITING_PACKETS = 128
WAITING_BYTES = 16 << 20
NO_PICTURE_S = 20.0


class StreamConnection:
    """An open FFmpeg input; see `gateway.sources.feed.Connection`.

    Args:
        container: The input.
        where: What to call the camera in errors.
        explain: From FFmpeg's errors to ours.
    """

    def __init__(
        self, container: InputContainer, where: str, explain: Callable[[av.error.FFmpegError], Exception]
    ) -> None:
        self._container = container
        self._explain = explain
        if not container.streams.video:
            container.close()
            raise SourceRefusedError(f"{where} offers no picture stream")
        self.stream: VideoStream = container.streams.video[0]
        context = self.stream.codec_context
        if context.width * context.height > MAX_PIXELS:
            container.close()
            raise SourceRefusedError(
                f"the picture of {where} has {context.width} x {context.height} pixels; {MEGAPIXELS}"
            )
        # Read now, in the thread that owns the container: whoever decodes must not touch it.
        self.time_base = self.stream.time_base
        self.fps = min(FASTEST_FPS, float(self.stream.average_rate or self.stream.guessed_rate or DEFAULT_FPS))
        self.context = context
        self.format = stream_format(self.stream)

    def items(self) -> Iterator[tuple[VideoPacket, int]]:
        """Packets of the picture stream."""
        try:
            for packet in self._container.demux(self.stream):
                if packet.size:
                    yield packet, packet.size
        except av.error.FFmpegError as error:
            raise self._explain(error) from error

    def interrupt(self) -> None:
        """FFmpeg can't be woken; its read time-out ends the wait."""

    def close(self) -> None:
        """Close the input."""
        self._container.close()


class StreamSource:
    """Reads a live stream.

    Args:
        where: What to call the camera in errors.
        connect: Opens it; called in a thread of its own.
        clock: Bounds frame time.
        patience: How long it is waited for.
    """

    def __init__(
        self, where: str, connect: Callable[[], StreamConnection], clock: Clock, patience: Patience | None = None
    ) -> None:
        self._where = where
        self._connect = connect
        self._clock = clock
        self._patience = patience or Patience()
        self._feed: Feed[VideoPacket] = Feed(f"receive-{where}", clock, WAITING_PACKETS, WAITING_BYTES)
        self._connection: StreamConnection | None = None
        self._decoder: StreamDecoder | None = None
        self._ready: deque[Frame] = deque()
        self._picture_at_s = 0.0
        self._ring: PacketRing | None = None

    def keep_packets(self, ring: PacketRing) -> None:
        """Feed a ring with every packet."""
        self._ring = ring

    def open(self, anchor_s: float) -> None:
        """Connect and find the picture stream."""
        self._feed.connect(self._make, self._patience.open_s)
        made = self._connection
        if self._feed.closed or made is None:
            return
        timeline = LiveTimeline(anchor_s, 1 / made.fps, self._clock)
        tap = partial(self._ring.put, made.format) if self._ring else None
        self._decoder = StreamDecoder(made.context, made.time_base, made.fps, timeline, self._where, tap=tap)
        self._picture_at_s = self._clock.monotonic()

    def read(self, gate: Gate | None = None) -> Frame | None:
        """The next frame."""
        while self._decoder is not None and not self._feed.closed:
            if self._ready:
                return self._ready.popleft()
            packet, lost = self._feed.take(self._patience.stall_s)
            if packet is None:
                self._complain_unless_closed()
                return None
            if lost:
                self._decoder.lost()
            self._decode(self._decoder, packet, gate)
        return None

    def close(self) -> None:
        """Let go of the camera, now or when FFmpeg's own time-out ends."""
        self._feed.close()

    def _make(self) -> StreamConnection:
        self._connection = self._connect()
        return self._connection

    def _decode(self, decoder: StreamDecoder, packet: VideoPacket, gate: Gate | None) -> None:
        before = decoder.index
        try:
            self._ready.extend(decoder.frames(packet, gate))
        except SourceFormatError as error:
            raise SourceUnavailableError(str(error)) from error
        now_s = self._clock.monotonic()
        if decoder.index > before or decoder.waits_for_key:
            self._picture_at_s = now_s
        elif now_s - self._picture_at_s > NO_PICTURE_S:
            raise SourceUnavailableError(f"{self._where} sends data, but no picture can be made of it")

    def _complain_unless_closed(self) -> None:
        if not self._feed.closed:
            raise SourceUnavailableError(f"{self._where} has ended the stream")


def open_input(
    url: str,
    options: Mapping[str, str],
    patience: Patience,
    *,
    form: str | None = None,
    hardware: HWAccel | None = None,
) -> InputContainer:
    """Open a live input with FFmpeg.

    Raises:
        av.error.FFmpegError: It can't be opened; its text may hold credentials, its `strerror` doesn't.
    """
    return av.open(
        url,
        format=form,
        options=dict(options),
        metadata_errors="replace",
        # A little longer than the reader waits, so that it is the reader that tells of a stall.
        timeout=(patience.open_s, patience.stall_s + 1),
        hwaccel=hardware,
    )
