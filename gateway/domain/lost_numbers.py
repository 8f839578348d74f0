"""What was written as JSON, although a number in it was none.

msgspec writes NaN and the infinities as null, and reads no null as a number. What holds one, in a box or a track that a
model made, is worth more than that number: it is read with 0 in its place.
"""

import re
from typing import TypeVar

import msgspec

T = TypeVar("T")

_NO_NUMBER = re.compile(rb"(?<=[\[,])null(?=[,\]])")
"""In a list alone: elsewhere null is what isn't known."""


def decode(decoder: "msgspec.json.Decoder[T]", data: bytes) -> T:
    """Read a document, with 0 for each number in a list that was none when it was written.

    Raises:
        msgspec.MsgspecError: It isn't what the decoder reads.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        mended = _NO_NUMBER.sub(b"0", data)
        if mended == data:
            raise
        return decoder.decode(mended)
