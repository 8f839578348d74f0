"""A camera of a VAS: `vas://camera-id`."""

import io
import threading
from collections.abc import Iterator
from functools import partial
from urllib.parse import unquote, urlsplit

import av
import av.error

from gateway.domain.clock import Clock
from gateway.domain.frame import Frame
from gateway.domain.ports import Gate
from gateway.errors import InvalidInputError, SourceError, SourceFormatError, SourceStalledError, SourceUnavailableError
from gateway.sources.decoder import StreamDecoder
from gateway.sources.pacing import Pacer
from gateway.sources.packets import PacketRing, stream_format
from gateway.sources.timeline import LiveTimeline
from gateway.sources.urls import CameraUrl, Pace, check_options
from gateway.sources.vas import rest
from gateway.sources.vas.session import VasSession

DEFAULT_FPS = 25.0
STALLED_TARGETS = 4
"""A stream is lost when no new segment has come for so many segments' time."""

BEHIND_SEGMENTS = 3
"""When more wait to be read, the newest is next: what was lost while the VAS or this machine was slow isn't made up."""

DRIFT_TARGETS = 4
"""Frame time stays so many segments' time near our clock: they come as a whole, and may wait as above."""


class VasSource:
    """Reads a camera's live stream, segment by segment, at the speed at which it was taken.

    It begins with the newest segment, so that it is about two segments behind what the camera sees now, and goes on
    with the newest when it has fallen further behind.

    Args:
        camera_id: The VAS's id of the camera.
        session: With the VAS.
        clock: For pacing, and bounds frame time.
    """

    def __init__(self, camera_id: str, session: VasSession, clock: Clock) -> None:
        self._camera_id = camera_id
        self._session = session
        self._clock = clock
        self._line = session.line()
        self._pacer = Pacer(Pace.REALTIME, clock)
        self._stopped = threading.Event()
        self._timeline = LiveTimeline(0.0, 1 / DEFAULT_FPS, clock)
        self._frames: Iterator[Frame] = iter(())
        self._gate: Gate | None = None
        self._index = 0
        self._stream_id = ""
        self._next: int | None = None
        self._ring: PacketRing | None = None

    @classmethod
    def from_url(cls, url: CameraUrl, session: VasSession | None, clock: Clock) -> "VasSource":
        """Make one of a parsed camera URL.

        Raises:
            InvalidInputError: It names no camera, or no VAS is configured.
        """
        check_options(url, {})
        if session is None:
            raise InvalidInputError("no VAS is configured; set VAS_BASE_URL, VAS_CLIENT_ID and VAS_CLIENT_SECRET")
        camera_id = unquote(urlsplit(url.text).netloc)
        if not camera_id or url.path.strip("/"):
            raise InvalidInputError("a VAS camera is vas://CAMERA-ID")
        return cls(camera_id, session, clock)

    def keep_packets(self, ring: PacketRing) -> None:
        """Feed a ring with every packet."""
        self._ring = ring

    def open(self, anchor_s: float) -> None:
        """Find the camera's live stream."""
        self._wait_held()
        path = rest.live_streams(self._camera_id)
        streams = self._session.get_json(self._line, "streams", path, rest.Streams).streams
        if not streams:
            raise SourceUnavailableError(f"VAS has no live stream of camera {self._camera_id}; start it there")
        self._stream_id = streams[0].id
        # Where frame time is set, as the encoder's clock has jumped, the schedule begins anew: it may be hours off.
        self._timeline = LiveTimeline(anchor_s, 1 / DEFAULT_FPS, self._clock, self._pacer.restart)

    def read(self, gate: Gate | None = None) -> Frame | None:
        """The next frame, when it is due."""
        self._gate = gate
        try:
            while not self._stopped.is_set() and self._stream_id:
                if (frame := next(self._frames, None)) is not None:
                    return frame
                segment = self._next_segment()
                if segment is None:
                    return None
                self._frames = self._decode(segment)
        except SourceError:
            if not self._stopped.is_set():
                raise
        return None

    def close(self) -> None:
        """Break off whatever is waited for."""
        self._stopped.set()
        self._pacer.stop()
        self._line.hang_up()

    def _next_segment(self) -> bytes | None:
        """The next segment, once there is one; None when the stream has ended or the source was closed."""
        began_s = self._clock.monotonic()
        while not self._stopped.is_set():
            self._wait_held()
            playlist = self._playlist()
            end = playlist.first + len(playlist.segments)
            number = max(playlist.first, end - 1 if self._next is None else self._next)
            if number > end:
                raise SourceUnavailableError(f"the stream of camera {self._camera_id} has begun anew")
            if number < end:
                return self._segment(playlist, number if end - number <= BEHIND_SEGMENTS else end - 1)
            if playlist.ended:
                return None
            if self._clock.monotonic() - began_s > STALLED_TARGETS * playlist.target_s + self._session.hold_s():
                raise SourceStalledError(f"VAS has had nothing new of camera {self._camera_id} for a while")
            self._stopped.wait(playlist.target_s / 4)
        return None

    def _playlist(self) -> rest.Playlist:
        answer = self._session.get(self._line, "playlist", rest.playlist(self._stream_id))
        try:
            return rest.Playlist.parse(answer.body.decode())
        except ValueError as error:
            raise SourceUnavailableError(f"VAS gives no playlist for camera {self._camera_id}: {error}") from error

    def _segment(self, playlist: rest.Playlist, number: int) -> bytes:
        path = rest.segment(self._stream_id, playlist.segments[number - playlist.first])
        answer = self._session.get(self._line, "segment", path)
        self._timeline.drift_s = max(LiveTimeline.DRIFT_S, DRIFT_TARGETS * playlist.target_s)
        if number != self._next:  # what was passed over isn't waited for
            self._pacer.restart()
        self._next = number + 1
        return answer.body

    def _decode(self, segment: bytes) -> Iterator[Frame]:
        name = f"the stream of camera {self._camera_id}"
        try:
            with av.open(io.BytesIO(segment), "r", format="mpegts", metadata_errors="replace") as container:
                if not container.streams.video:
                    raise SourceUnavailableError(f"a segment of {name} has no pictures")
                stream = container.streams.video[0]
                fps = float(stream.average_rate or DEFAULT_FPS)
                tap = partial(self._ring.put, stream_format(stream)) if self._ring else None
                decoder = StreamDecoder(
                    stream.codec_context, stream.time_base, fps, self._timeline, name, self._index, tap
                )
                for packet in container.demux(stream):
                    for frame in decoder.frames(packet, self._gate, self._pacer.wait):
                        self._index = decoder.index
                        yield frame
                    if self._stopped.is_set():
                        return
                self._index = decoder.index
        except av.error.FFmpegError as error:
            raise SourceUnavailableError(f"a segment of {name} can't be read: {error.strerror}") from error
        except SourceFormatError as error:  # which would be for ever: a live stream may mend itself
            raise SourceUnavailableError(str(error)) from error

    def _wait_held(self) -> None:
        """Leave the VAS alone for as long as it wants."""
        self._stopped.wait(self._session.hold_s())
