"""A stretch of a camera's stream, as the camera encoded it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """How a stream is encoded.

    Attributes:
        codec: FFmpeg's name, such as `h264`.
        resolution_wh: Width and height in pixels.
        extradata: What a decoder needs beside the packets; empty where they carry it themselves.
        header: For packets that have lengths instead of start codes, an MP4 file of this stream without any packet.
    """

    codec: str
    resolution_wh: tuple[int, int]
    extradata: bytes = b""
    header: bytes = b""


@dataclass(frozen=True, slots=True)
class EncodedPacket:
    """One packet of a stream.

    Attributes:
        data: As it came.
        pts_s: Presentation time in the stream, in seconds.
        time_s: Frame time of its picture.
        is_key: Whether decoding can begin with it.
    """

    data: bytes
    pts_s: float
    time_s: float
    is_key: bool


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Packets of one stream from a key picture on, without a gap.

    Attributes:
        format: How they are encoded.
        packets: In decoding order; empty when there is nothing.
        missing_reason: What of the time asked for is missing, and why; empty when nothing is.
    """

    format: StreamFormat
    packets: tuple[EncodedPacket, ...]
    missing_reason: str = ""
