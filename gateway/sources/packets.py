"""The last seconds of a stream as it came, for clips of what has just happened."""

import io
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import av
from av.video.stream import VideoStream

from gateway.domain.clip import EncodedPacket, Excerpt, StreamFormat

LONGEST_STEP_S = 2.0
"""Packets further apart belong to different stretches: the camera was away, or has set its clock."""

SHORTFALL_S = 0.5
"""Less is not worth telling: pictures and key pictures come when they come."""

_CONFIGURATION = b"\x01"  # first byte of avcC and hvcC (ISO/IEC 14496-15): packets have lengths, not start codes


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    from_s: float
    to_s: float
    done: Callable[[Excerpt | None], None]


class PacketRing:
    """Keeps a stretch of a camera's stream, bounded in time and size. Fed by one thread, asked by any.

    Args:
        seconds: At most so much frame time.
        limit_bytes: At most so much memory.
    """

    def __init__(self, seconds: float, limit_bytes: int) -> None:
        self._seconds = seconds
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._format: StreamFormat | None = None
        self._packets: deque[EncodedPacket] = deque()
        self._size = 0
        self._requests: list[_Request] = []
        self._flows = True

    @property
    def empty(self) -> bool:
        """Whether no packet has come: the camera sends no stream, or nothing yet."""
        return self._format is None

    @property
    def size_bytes(self) -> int:
        """What the packets take."""
        return self._size

    def keep(self, seconds: float) -> None:
        """Keep so much frame time from the next packet on; 0 for next to nothing."""
        self._seconds = seconds

    def put(self, stream: StreamFormat, packet: EncodedPacket) -> None:
        """Take the next packet."""
        with self._lock:
            due = self._restart(stream) if self._is_new_stretch(stream, packet) else []
            self._flows = True
            self._packets.append(packet)
            self._size += len(packet.data)
            self._trim(packet.time_s)
            if self._requests:
                due += self._answer([request for request in self._requests if packet.time_s >= request.to_s])
        _tell(due)

    def request(self, from_s: float, to_s: float, done: Callable[[Excerpt | None], None]) -> None:
        """Ask for a stretch of frame time; `done` gets it from the feeding thread once it is there.

        It gets what there is when the stream breaks off or at `settle`, and None when there is nothing at all.
        """
        with self._lock:
            request = _Request(from_s, to_s, done)
            self._requests.append(request)
            ready = not self._flows or (bool(self._packets) and self._packets[-1].time_s >= to_s)
            due = self._answer([request]) if ready else []
        _tell(due)

    def settle(self) -> None:
        """Nothing more will come for now: answer every request, and those to come, with what there is."""
        with self._lock:
            self._flows = False
            due = self._answer(list(self._requests))
        _tell(due)

    def clear(self) -> None:
        """Answer every request with what there is, and keep nothing: the camera is gone."""
        self.settle()
        with self._lock:
            self._packets.clear()
            self._size = 0

    def _is_new_stretch(self, stream: StreamFormat, packet: EncodedPacket) -> bool:
        if stream is not self._format and stream != self._format:
            return True
        return bool(self._packets) and abs(packet.pts_s - self._packets[-1].pts_s) > LONGEST_STEP_S

    def _restart(self, stream: StreamFormat) -> list[tuple[_Request, Excerpt | None]]:
        due = self._answer(list(self._requests)) if self._packets else []
        self._format, self._size = stream, 0
        self._packets.clear()
        return due

    def _trim(self, now_s: float) -> None:
        while self._packets and (self._size > self._limit_bytes or self._packets[0].time_s < now_s - self._seconds):
            self._size -= len(self._packets.popleft().data)

    def _answer(self, requests: list[_Request]) -> list[tuple[_Request, Excerpt | None]]:
        self._requests = [request for request in self._requests if request not in requests]
        return [(request, self._excerpt(request)) for request in requests]

    def _excerpt(self, request: _Request) -> Excerpt | None:
        if self._format is None:
            return None
        packets = list(self._packets)
        while packets and packets[-1].time_s > request.to_s:  # not those between: pictures before them refer to them
            packets.pop()
        keys = [i for i, packet in enumerate(packets) if packet.is_key]
        if not keys:
            return None
        first = max((i for i in keys if packets[i].time_s <= request.from_s), default=keys[0])
        stretch = tuple(packets[first:])
        before_s, after_s = stretch[0].time_s - request.from_s, request.to_s - stretch[-1].time_s
        missing = [f"the first {before_s:.1f} s"] * (before_s > SHORTFALL_S)
        missing += [f"the last {after_s:.1f} s"] * (after_s > SHORTFALL_S)
        reason = f"{' and '.join(missing)} are missing: the stream was not there or too large to keep"
        return Excerpt(self._format, stretch, reason if missing else "")


@runtime_checkable
class PacketSource(Protocol):
    """A source of encoded packets."""

    def keep_packets(self, ring: PacketRing) -> None:
        """Feed a ring with every packet; to be called before `open`."""
        ...


def stream_format(stream: VideoStream) -> StreamFormat:
    """How an input's stream is encoded; to be called in the thread that owns the input."""
    context = stream.codec_context
    extradata = context.extradata or b""
    has_lengths = context.name in ("h264", "hevc") and extradata.startswith(_CONFIGURATION)
    header = _header(stream) if has_lengths else b""
    return StreamFormat(context.name, (context.width, context.height), extradata, header)


def _header(stream: VideoStream) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"movflags": "empty_moov"}) as container:
        container.add_stream_from_template(stream)
        container.start_encoding()
    return file.getvalue()


def _tell(due: list[tuple[_Request, Excerpt | None]]) -> None:
    for request, excerpt in due:
        request.done(excerpt)
