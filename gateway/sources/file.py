"""Recorded clips: `file:///path?loop=1&pace=realtime|max`."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import av
import av.error
from av.container import InputContainer

from gateway.domain.clock import Clock
from gateway.domain.frame import Frame
from gateway.domain.ports import Gate
from gateway.errors import InvalidInputError, SourceFormatError, SourceUnavailableError
from gateway.sources.decoder import StreamDecoder, VideoPacket
from gateway.sources.media import MediaSettings
from gateway.sources.pacing import Pacer
from gateway.sources.packets import PacketRing, stream_format
from gateway.sources.timeline import Timeline
from gateway.sources.urls import CameraUrl, Pace, check_options, pace_option

OPTIONS = {"loop": "0|1", "pace": "realtime|max"}
DEFAULT_FPS = 25.0
NOT_CLIPS = frozenset({"tty", "bin", "xbin", "adf", "idf", "concat", "hls", "dash", "imf"})
"""What FFmpeg opens as well: text drawn as pictures, and lists that name other files."""


class FileSource:
    """Reads a clip of any container and codec that FFmpeg knows.

    Args:
        path: The clip.
        loop: Begin again at its end; frame time goes on.
        pace: As fast as it was recorded, or as fast as it decodes.
        clock: For pacing.
        media: The folder that clips must lie in, and where they are decoded.

    Raises:
        InvalidInputError: The clip lies outside.
    """

    def __init__(self, path: Path, *, loop: bool, pace: Pace, clock: Clock, media: MediaSettings | None = None) -> None:
        self._path = path
        self._media = media or MediaSettings()
        self._media.check_file(path)
        self._loop = loop
        self._pacer = Pacer(pace, clock)
        self._busy = threading.Lock()
        self._container: InputContainer | None = None
        self._packets: Iterator[VideoPacket] = iter(())
        self._frames: Iterator[Frame] = iter(())
        self._timeline = Timeline(0.0, 1 / DEFAULT_FPS)
        self._decoder: StreamDecoder | None = None
        self._index = 0
        self._ring: PacketRing | None = None

    @classmethod
    def from_url(cls, url: CameraUrl, clock: Clock, media: MediaSettings) -> "FileSource":
        """Make one of a parsed camera URL.

        Raises:
            InvalidInputError: An option can't be used.
        """
        check_options(url, OPTIONS)
        loop = url.options.get("loop", "0")
        if loop not in ("0", "1"):
            raise InvalidInputError(f"loop is 0 or 1, not {loop!r}")
        if not url.path.startswith("/"):
            raise InvalidInputError(f"a file URL has an absolute path: file:///… , not {url.path!r}")
        return cls(Path(url.path), loop=loop == "1", pace=pace_option(url), clock=clock, media=media)

    def keep_packets(self, ring: PacketRing) -> None:
        """Feed a ring with every packet."""
        self._ring = ring

    def open(self, anchor_s: float) -> None:
        """Open the clip and find its picture stream."""
        self._begin(anchor_s)

    def read(self, gate: Gate | None = None) -> Frame | None:
        """The next frame, when it is due."""
        with self._busy:
            while not self._pacer.stopped and self._container is not None and self._decoder is not None:
                if (frame := next(self._frames, None)) is not None:
                    return frame
                if not self._pacer.wait_turn(gate):
                    return None
                packet = self._next_packet()
                if packet is not None:
                    self._frames = self._decoder.frames(packet, gate, self._pacer.wait)
                elif self._decoder.empty:
                    raise SourceFormatError(f"{self._path.name} holds no picture that can be decoded")
                elif self._loop:
                    self._timeline.restart()
                    self._begin_anew()
                else:
                    return None
        return None

    def close(self) -> None:
        """Close the clip; never waits.

        A `read` in another thread, which may hang on its disk, is told to end, and whoever reads closes the clip then.
        """
        self._pacer.stop()
        if not self._busy.acquire(blocking=False):
            return
        try:
            container, self._container = self._container, None
            if container is not None:
                self._frames, self._packets = iter(()), iter(())
                container.close()
        finally:
            self._busy.release()

    def _begin_anew(self) -> None:
        """Not every container can be sought in. What has ended goes first: two decoders would take twice the memory."""
        if self._decoder is not None and self._container is not None:
            self._index = self._decoder.index
            self._container.close()
        self._container, self._decoder, self._packets, self._frames = None, None, iter(()), iter(())
        self._begin(None)

    def _begin(self, anchor_s: float | None) -> None:
        """Open the clip at its first picture; None goes on where the clip has ended."""
        self._media.check_file(self._path)  # again: a link may have changed since
        if not _is_file(self._path):
            raise SourceUnavailableError(f"there is no file {self._path}")
        try:
            # An absolute path is never taken for a protocol, and a title in some other encoding isn't worth an error.
            container = av.open(
                str(self._path.absolute()),
                metadata_errors="replace",
                options={"protocol_whitelist": "file"},
                hwaccel=self._media.hardware_decoder(),
            )
        except av.error.FFmpegError as error:
            raise SourceFormatError(
                f"{self._path.name} isn't a video that FFmpeg can read: {error.strerror}"
            ) from error
        if not container.streams.video or NOT_CLIPS.intersection(container.format.name.split(",")):
            container.close()
            raise SourceFormatError(f"{self._path.name} has no picture stream")
        stream = container.streams.video[0]
        fps = float(stream.average_rate or DEFAULT_FPS)
        if anchor_s is not None:
            self._timeline = Timeline(anchor_s, 1 / fps)
        tap = partial(self._ring.put, stream_format(stream)) if self._ring else None
        self._decoder = StreamDecoder(
            stream.codec_context, stream.time_base, fps, self._timeline, self._path.name, self._index, tap
        )
        self._container, self._packets = container, container.demux(stream)

    def _next_packet(self) -> VideoPacket | None:
        """The next packet; the last one is empty, and brings what the decoder still holds."""
        try:
            return next(self._packets, None)
        except av.error.FFmpegError as error:
            raise SourceFormatError(f"{self._path.name} can't be read on: {error.strerror}") from error


def _is_file(path: Path) -> bool:
    """Whether a path leads to a file; `Path.is_file` raises where it can't be looked at.

    Raises:
        SourceUnavailableError: A folder on the way may not be entered, a name is too long, or the disk is broken.
    """
    try:
        return path.is_file()
    except OSError as error:
        raise SourceUnavailableError(f"{path} can't be looked at: {error.strerror}") from error
