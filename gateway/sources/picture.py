"""One compressed picture to a frame."""

import av
import av.error
from av.video.codeccontext import VideoCodecContext

from gateway.domain.frame import Frame
from gateway.errors import InvalidInputError
from gateway.sources.planes import to_frame

MAX_PIXELS = 50_000_000
"""More than any camera has; a picture that would decode to more is refused before memory is taken for it."""

_CODECS = {b"\xff\xd8\xff": "mjpeg", b"\x89PNG\r\n\x1a\n": "png"}


def decode_picture(content: bytes, index: int = 0, pts_s: float = 0.0, time_s: float = 0.0) -> Frame:
    """Decode a JPEG or PNG, told by its first bytes. An orientation in its EXIF data isn't applied.

    Raises:
        InvalidInputError: It is neither, it is damaged or cut short, or it has more than `MAX_PIXELS`.
    """
    codec = next((name for magic, name in _CODECS.items() if content.startswith(magic)), None)
    if codec is None:
        raise InvalidInputError("the picture is neither a JPEG nor a PNG")
    decoder = VideoCodecContext.create(codec, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count = 1
    # Without `explode`, half a picture would be filled up with grey, and what stands there be missed.
    decoder.options = {"err_detect": "explode+crccheck", "max_pixels": str(MAX_PIXELS)}
    try:
        pictures = [*decoder.decode(av.Packet(content)), *decoder.decode(None)]
    except (av.error.FFmpegError, MemoryError) as error:
        raise InvalidInputError(
            f"the picture can't be decoded: it is damaged, cut short, or above {MAX_PIXELS // 1_000_000} megapixels"
        ) from error
    picture = next((each for each in pictures if isinstance(each, av.VideoFrame)), None)
    if picture is None:
        raise InvalidInputError("the picture is cut short")
    return to_frame(picture, index, pts_s, time_s)
