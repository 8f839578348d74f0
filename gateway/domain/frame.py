"""One decoded picture, still in the decoder's planes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture as YUV 4:2:0 planes (BT.601, limited range) and the time it shows.

    The planes are views of the decoder's own buffers: they stay valid as long as the frame is referenced, and nobody
    writes to them.

    Attributes:
        index: Number of the frame since its source was opened, from 0; frames that the sampling gate skipped count too.
        pts_s: Presentation time in the stream, seconds from its first frame.
        time_s: Frame time that rules count on, in seconds. Anchored once when the source opens (Unix time for a live
            camera, 0 for a replay), then advanced by the stream's own timestamps alone; never goes backwards.
        luma: `(H, W)` uint8, rows may be padded (any stride).
        chroma_u: `(ceil(H/2), ceil(W/2))` uint8.
        chroma_v: As `chroma_u`.
    """

    index: int
    pts_s: float
    time_s: float
    luma: UInt8Array
    chroma_u: UInt8Array
    chroma_v: UInt8Array

    def __post_init__(self) -> None:
        """Check that the chroma planes belong to the luma plane.

        Raises:
            ValueError: A plane has the wrong shape.
        """
        height, width = self.luma.shape
        expected = ((height + 1) // 2, (width + 1) // 2)
        if self.chroma_u.shape != expected or self.chroma_v.shape != expected:
            raise ValueError(
                f"chroma planes are {self.chroma_u.shape} and {self.chroma_v.shape}, not {expected} as 4:2:0 needs"
            )

    @property
    def resolution_wh(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        height, width = self.luma.shape
        return width, height
