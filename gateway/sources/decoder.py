"""From a stream's packets to the frames that are looked at, decoding no more than these need."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, TypeAlias

import av
import av.error
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from gateway.domain.clip import EncodedPacket
from gateway.domain.frame import Frame
from gateway.domain.ports import Gate
from gateway.errors import SourceFormatError
from gateway.sources.planes import to_frame
from gateway.sources.skipping import Skipping, SkipPolicy
from gateway.sources.timeline import Timeline

MAX_BROKEN_PACKETS = 50
MAX_PIXELS = 50_000_000
"""More than any camera has; what would decode to more is refused before memory is taken for it."""

DECODER_OPTIONS = {"max_pixels": str(MAX_PIXELS)}

if TYPE_CHECKING:
    VideoPacket: TypeAlias = av.Packet[VideoStream]
else:
    VideoPacket = av.Packet  # generic in the type stubs alone

_SKIP_FRAME: dict[Skipping, Literal["DEFAULT", "NONREF"]] = {
    Skipping.NOTHING: "DEFAULT",
    Skipping.NON_REFERENCE: "NONREF",
    Skipping.NON_KEY: "DEFAULT",
}


class StreamDecoder:
    """Decodes one stream, in one thread.

    Args:
        context: Its decoder, not yet open.
        time_base: Unit of the packets' times, in seconds.
        fps: The stream's own rate.
        timeline: Places pictures in frame time.
        name: What to call the stream in errors.
        index: Number of its first picture.
        tap: Gets every packet with its frame time, decoded or not.

    Attributes:
        index: Number of the next picture.
    """

    def __init__(
        self,
        context: VideoCodecContext,
        time_base: Fraction | None,
        fps: float,
        timeline: Timeline,
        name: str,
        index: int = 0,
        tap: Callable[[EncodedPacket], None] | None = None,
    ) -> None:
        # One thread a camera: FFmpeg's own threads cost a third more CPU and twice the memory.
        context.thread_count = 1
        context.options = {**context.options, **DECODER_OPTIONS}
        self._context = context
        self._time_base_s = float(time_base or 0)
        self._fps = fps
        self._timeline = timeline
        self._name = name
        self._all_keys = context.codec.intra_only
        self._policy = SkipPolicy(fps)
        self._gap = False
        self._broken = 0
        self._tap = tap
        self.index = index
        self._decoded = False

    def frames(
        self, packet: VideoPacket, gate: Gate | None, wait: Callable[[float], bool] = lambda _: True
    ) -> Iterator[Frame]:
        """Frames that a packet brings and the gate admits; an empty packet brings what the decoder still holds.

        Args:
            packet: The next one.
            gate: Which frames are looked at; None for all.
            wait: Called with a picture's place in frame time, in seconds since the first; False ends it.

        Raises:
            SourceFormatError: Packet after packet can't be decoded.
        """
        if packet.size and self._tap is not None:
            self._hand_on(packet, self._tap)
        if packet.size and not self._all_keys and not self._choose(packet, gate):
            return
        if packet.size and (self._all_keys or self._policy.skipping is Skipping.NON_KEY):
            pts_s, time_s = self._place(self._seconds(packet.pts))
            if wait(self._timeline.elapsed_s()) and (gate is None or gate.admit(time_s)):
                for picture in self._decode_alone(packet):
                    yield to_frame(picture, self.index - 1, pts_s, time_s)
            return
        for picture in self._decode(packet):
            if picture.pts is not None:
                self._policy.picture(picture.pts * self._time_base_s)
            pts_s, time_s = self._place(self._seconds(picture.pts))
            if wait(self._timeline.elapsed_s()) and (gate is None or gate.admit(time_s)):
                yield to_frame(picture, self.index - 1, pts_s, time_s)

    @property
    def empty(self) -> bool:
        """Whether nothing came that could be decoded; what no gate admitted wasn't tried."""
        return not self._decoded and (self._broken > 0 or self.index == 0)

    @property
    def waits_for_key(self) -> bool:
        """Whether packets up to the next key picture are left undecoded on purpose."""
        return self._policy.skipping is Skipping.NON_KEY

    def lost(self) -> None:
        """Packets were left out before the next one: go on at the next key picture."""
        self._gap = True

    def _hand_on(self, packet: VideoPacket, tap: Callable[[EncodedPacket], None]) -> None:
        """Give the tap a packet, unless it refers to one that was lost."""
        pts_s = self._seconds(packet.dts if packet.pts is None else packet.pts)
        if pts_s is None or (self._gap and not packet.is_keyframe):
            return
        tap(EncodedPacket(bytes(packet), pts_s, self._timeline.at(pts_s), packet.is_keyframe))

    def _choose(self, packet: VideoPacket, gate: Gate | None) -> bool:
        """At a key picture choose what to skip; otherwise tell whether the packet is worth decoding."""
        if not packet.is_keyframe:
            return not self._gap and self._policy.skipping is not Skipping.NON_KEY
        before = self._policy.skipping
        time_s = self._seconds(packet.pts)
        if gate is not None and time_s is not None:
            self._context.skip_frame = _SKIP_FRAME[self._policy.key(time_s, gate.fps)]
        self._gap = False
        if Skipping.NON_KEY in (before, self._policy.skipping) and before is not self._policy.skipping:
            self._context.flush_buffers()  # what it still holds is as old as this picture: at most some frames
        return True

    def _place(self, pts_s: float | None) -> tuple[float, float]:
        """Place the next picture; those that were skipped before it are counted by the time that has passed."""
        before_s = self._timeline.elapsed_s()
        placed = self._timeline.advance(pts_s)
        skipped = self._policy.skipping is not Skipping.NOTHING and self.index > 0
        self.index += max(1, round((self._timeline.elapsed_s() - before_s) * self._fps)) if skipped else 1
        return placed

    def _decode_alone(self, packet: VideoPacket) -> list[av.VideoFrame]:
        """Decode a key picture now: a decoder that reorders would hold it until more have come."""
        pictures = self._decode(packet)
        if not self._all_keys:
            pictures += self._decode(None)
            self._context.flush_buffers()
        return pictures

    def _decode(self, packet: VideoPacket | None) -> list[av.VideoFrame]:
        """Decode a packet: a broken one costs its own pictures, not the rest of the stream."""
        try:
            pictures = self._context.decode(packet if packet is None or packet.size else None)
        except av.error.EOFError:
            return []  # it was drained before
        except av.error.FFmpegError as error:
            self._broken += 1
            if self._broken > MAX_BROKEN_PACKETS:
                raise SourceFormatError(f"{self._name} can't be decoded: {error.strerror}") from error
            return []
        if pictures:
            self._broken, self._decoded = 0, True
        return pictures

    def _seconds(self, pts: int | None) -> float | None:
        return None if pts is None else pts * self._time_base_s
