"""Rules about the camera's picture itself."""

from typing import Annotated, ClassVar

import msgspec

from gateway.domain.definitions.base import Definition, Fraction, Seconds

Factor = Annotated[float, msgspec.Meta(gt=0, le=1)]


class CameraTampered(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="camera_tampered"):
    """The camera is covered, blinded, turned away or out of focus: its picture lost its contrast or its scene.

    Attributes:
        min_contrast: The standard deviation of luma below which nothing is to be seen, as a fraction of full scale.
        min_likeness: Correlation with the scene as it has been over `memory_s`, below which it is another scene.
        memory_s: How long another scene must be looked at, in frame time, to become the usual one.
    """

    type: ClassVar[str] = "camera_tampered"

    min_contrast: Fraction = 0.02
    min_likeness: Annotated[float, msgspec.Meta(ge=-1, le=1)] = 0.2
    memory_s: Annotated[float, msgspec.Meta(ge=10, le=86400)] = 300.0
    min_duration_s: Seconds = 5.0
    max_gap_s: Seconds = 2.0


class FrozenPicture(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="frozen_picture"):
    """Frames come, and the picture doesn't change at all, not even by a sensor's noise.

    Attributes:
        max_change: Mean difference between two frames up to which they are the same, as a fraction of full scale.
    """

    type: ClassVar[str] = "frozen_picture"

    max_change: Fraction = 0.0
    min_duration_s: Seconds = 10.0
    max_gap_s: Seconds = 1.0
