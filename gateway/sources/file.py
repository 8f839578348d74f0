"""Recorded clips: `file:///path?loop=1&pace=realtime|max`."""

import threading
from collections.abc import Iterator
from pathlib import Path

import av
import av.error
from av.container import InputContainer

from gateway.domain.clock import Clock
from gateway.domain.frame import Frame
from gateway.errors import InvalidInputError, SourceFormatError, SourceUnavailableError
from gateway.sources.pacing import Pacer
from gateway.sources.planes import to_frame
from gateway.sources.timeline import Timeline
from gateway.sources.urls import CameraUrl, Pace, check_options, pace_option

OPTIONS = {"loop": "0|1", "pace": "realtime|max"}
MAX_BROKEN_PACKETS = 50
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
    """

    def __init__(self, path: Path, *, loop: bool, pace: Pace, clock: Clock) -> None:
        self._path = path
        self._loop = loop
        self._pacer = Pacer(pace, clock)
        self._busy = threading.Lock()
        self._container: InputContainer | None = None
        self._pictures: Iterator[av.VideoFrame] = iter(())
        self._timeline = Timeline(0.0, 1 / DEFAULT_FPS)
        self._index = 0

    @classmethod
    def from_url(cls, url: CameraUrl, clock: Clock) -> "FileSource":
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
        return cls(Path(url.path), loop=loop == "1", pace=pace_option(url), clock=clock)

    def open(self, anchor_s: float) -> None:
        """Open the clip and find its picture stream."""
        stream = self._begin()
        self._timeline = Timeline(anchor_s, 1 / float(stream.average_rate or DEFAULT_FPS))

    def read(self) -> Frame | None:
        """The next frame, when it is due."""
        with self._busy:
            picture = None if self._pacer.stopped else self._next_picture()
        if picture is None:
            return None
        pts_s, time_s = self._timeline.advance(picture.time)
        frame = to_frame(picture, self._index, pts_s, time_s)
        self._index += 1
        return frame if self._pacer.wait(self._timeline.elapsed_s()) else None

    def close(self) -> None:
        """Close the clip."""
        self._pacer.stop()
        with self._busy:
            container, self._container = self._container, None
            if container is not None:
                self._pictures = iter(())
                container.close()

    def _next_picture(self) -> av.VideoFrame | None:
        picture = next(self._pictures, None)
        if picture is None and self._index == 0 and self._container is not None:
            raise SourceFormatError(f"{self._path.name} holds no picture that can be decoded")
        if picture is not None or not self._loop or self._container is None:
            return picture
        self._container.close()
        self._begin()  # opened anew: not every container can be sought in
        self._timeline.restart()
        return next(self._pictures, None)

    def _begin(self) -> av.VideoStream:
        """Open the clip at its first picture."""
        if not self._path.is_file():
            raise SourceUnavailableError(f"there is no file {self._path}")
        try:
            # An absolute path is never taken for a protocol, and a title in some other encoding isn't worth an error.
            container = av.open(
                str(self._path.absolute()), metadata_errors="replace", options={"protocol_whitelist": "file"}
            )
        except av.error.FFmpegError as error:
            raise SourceFormatError(
                f"{self._path.name} isn't a video that FFmpeg can read: {error.strerror}"
            ) from error
        if not container.streams.video or NOT_CLIPS.intersection(container.format.name.split(",")):
            container.close()
            raise SourceFormatError(f"{self._path.name} has no picture stream")
        stream = container.streams.video[0]
        # One thread a camera: FFmpeg's own threads cost a third more CPU and twice the memory.
        stream.codec_context.thread_count = 1
        self._container, self._pictures = container, self._decode(container, stream)
        return stream

    def _decode(self, container: InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
        """Decode packet by packet: a broken one costs its own pictures, not the rest of the clip."""
        broken = 0
        try:
            for packet in container.demux(stream):
                try:
                    pictures = packet.decode()
                except av.error.FFmpegError as error:
                    broken += 1
                    if broken > MAX_BROKEN_PACKETS:
                        raise SourceFormatError(f"{self._path.name} can't be decoded: {error.strerror}") from error
                    continue
                for picture in pictures:
                    broken = 0
                    yield picture
        except av.error.FFmpegError as error:
            raise SourceFormatError(f"{self._path.name} can't be read on: {error.strerror}") from error
