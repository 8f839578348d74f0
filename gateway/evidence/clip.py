"""A stretch of a camera's stream as an MP4 file that browsers play: the camera's own pictures, not encoded again."""

import datetime as dt
import io
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import OutputContainer
from av.stream import Stream

from gateway.domain.clip import EncodedPacket, Excerpt

PLAYABLE = frozenset({"h264", "hevc"})
"""What browsers play from MP4; `hevc` where the machine decodes it."""

TIME_BASE = Fraction(1, 90_000)
MEDIA_TYPE = "video/mp4"

_TIME_KEY = "comment"
_TIME_SAID = "first picture taken at "
"""In a comment, as MP4 keeps its own time of creation in whole seconds only."""


def remux(excerpt: Excerpt) -> bytes:
    """Write packets into an MP4 file whose index comes first, in memory: nothing of it is left where this is killed.

    Returns:
        The file.

    Raises:
        ValueError: Browsers play no such stream, or the packets make no file; the message says which.
        OSError: There is no memory for it, or too many files are open.
    """
    codec = excerpt.format.codec
    if codec not in PLAYABLE:
        raise ValueError(f"the camera sends {codec}, which browsers don't play")
    if not excerpt.packets:
        raise ValueError("there is no picture to make a clip of")
    with os.fdopen(os.memfd_create("clip"), "rb") as file:
        path = f"/proc/self/fd/{file.fileno()}"  # FFmpeg opens it twice, to move the index to its front
        try:
            with av.open(path, "w", format="mp4", options={"movflags": "faststart"}) as container:
                first_at = dt.datetime.fromtimestamp(excerpt.packets[0].time_s, dt.UTC)
                container.metadata[_TIME_KEY] = _TIME_SAID + first_at.isoformat()
                stream = _add_stream(container, excerpt)
                for packet in _packets(excerpt.packets, stream):
                    container.mux_one(packet)
        except av.error.FFmpegError as error:
            raise ValueError(f"the camera's packets make no clip: {error.strerror}") from error
        return file.read()


def first_picture_at(path: Path) -> dt.datetime | None:
    """When the first picture of a clip was taken; None where it doesn't say, as only those made here do."""
    try:
        options = {"protocol_whitelist": "file"}
        with av.open(str(path.absolute()), format="mp4", options=options, metadata_errors="replace") as container:
            said = container.metadata.get(_TIME_KEY, "")
        taken_at = dt.datetime.fromisoformat(said.removeprefix(_TIME_SAID)) if said.startswith(_TIME_SAID) else None
    except (av.error.FFmpegError, ValueError):
        return None
    return taken_at if taken_at is not None and taken_at.tzinfo is not None else None


def _add_stream(container: OutputContainer, excerpt: Excerpt) -> Stream:
    stream_format = excerpt.format
    if stream_format.header:
        with av.open(io.BytesIO(stream_format.header)) as header:
            return container.add_stream_from_template(header.streams.video[0])
    width, height = stream_format.resolution_wh
    return container.add_mux_stream(stream_format.codec, width=width, height=height, time_base=TIME_BASE)


def _packets(packets: Sequence[EncodedPacket], stream: Stream) -> "Iterator[av.Packet[Stream]]":
    """As FFmpeg wants them: with decoding times, which network cameras don't send.

    Decoding times are presentation times in their order, as much earlier as it takes for none to be after its own.
    """
    pts = [round((packet.pts_s - packets[0].pts_s) / TIME_BASE) for packet in packets]
    in_order = sorted(pts)
    delay = max(early - late for early, late in zip(in_order, pts, strict=True))
    last_dts = in_order[0] - delay - 1
    for i, each in enumerate(packets):
        packet: av.Packet[Stream] = av.Packet(each.data)
        packet.stream = stream
        packet.time_base = TIME_BASE
        last_dts = packet.dts = max(last_dts + 1, in_order[i] - delay)
        packet.pts = max(packet.dts, pts[i])
        packet.is_keyframe = each.is_key
        yield packet
