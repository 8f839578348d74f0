"""One picture as a camera or a caller sends it: compressed or raw bytes, and when it was taken."""

from dataclasses import dataclass
from enum import StrEnum


class StillKind(StrEnum):
    """How the picture is coded."""

    JPEG = "jpeg"
    PNG = "png"
    NV12 = "nv12"


@dataclass(frozen=True, slots=True)
class Still:
    """A coded picture.

    Attributes:
        kind: How it is coded.
        content: JPEG or PNG file, or the `W * H * 3 / 2` bytes of NV12 (BT.601, limited range), rows not padded.
        time_s: When it was taken, in seconds on any one clock: steps between pictures count, not the number itself.
        size_wh: Width and height of NV12, both even; coded pictures tell theirs.
    """

    kind: StillKind
    content: bytes
    time_s: float
    size_wh: tuple[int, int] | None = None
