"""What a user may ask of another precision than FP32."""

from dataclasses import dataclass
from pathlib import Path

from converters.coco_annotations import GroundTruth, read_annotations
from converters.errors import UsageError
from converters.spec import Precision, Ranges

_DEFAULT_F1 = {Precision.FP16: 0.98, Precision.INT8: 0.95}
_DEFAULT_MAP_LOSS = {Precision.FP16: 0.005, Precision.INT8: 0.02}


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLimit:
    """Ground truth, and how much worse than FP32 another precision may do on it.

    Attributes:
        truth: What is to be found where.
        images: Folder of its pictures.
        max_loss: Mean average precision of FP32 less that of the other, 0 to 1.
    """

    truth: GroundTruth
    images: Path
    max_loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionOptions:
    """What was asked for.

    Attributes:
        precision: Of the network, `fp16` or `int8`; head and suppression stay FP32.
        calibration: Clip or folder of pictures to calibrate and to compare with FP32 on.
        ranges: How INT8 chooses its ranges.
        min_f1: Agreement with FP32 to reach, above 0 and at most 1; None where ground truth judges instead.
        map_limit: Ground truth to judge by; None without.
    """

    precision: Precision
    calibration: Path
    ranges: Ranges
    min_f1: float | None
    map_limit: MapLimit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of the command line, None where they weren't given.

    Attributes:
        calibration: Clip or folder of pictures.
        ranges: How INT8 chooses its ranges.
        min_f1: Agreement with FP32.
        annotations: COCO's JSON.
        images: The pictures that it names.
        max_map_loss: Against FP32.
    """

    calibration: Path | None = None
    ranges: Ranges = Ranges.MINMAX
    min_f1: float | None = None
    annotations: Path | None = None
    images: Path | None = None
    max_map_loss: float | None = None

    def given(self) -> list[str]:
        """Return the options that only mean something with another precision than FP32."""
        names = ("calibration", "min_f1", "annotations", "images", "max_map_loss")
        given = [f"--{name.replace('_', '-')}" for name in names if getattr(self, name) is not None]
        return given + ["--ranges"] * (self.ranges is not Ranges.MINMAX)


def precision_of(precision: Precision, asked: Asked) -> PrecisionOptions | None:
    """Return the options, None for FP32.

    Raises:
        UsageError: FP32 is given options of the others, nothing is given to judge by, or a limit is out of range.
        ModelError: The annotations can't be read.
    """
    if precision is Precision.FP32:
        if asked.given():
            raise UsageError(f"{', '.join(asked.given())}: for --precision fp16 or int8 alone; leave it out")
        return None
    if asked.ranges is not Ranges.MINMAX and precision is not Precision.INT8:
        raise UsageError(f"--ranges is for --precision int8: {precision} has none; leave it out")
    calibration = asked.calibration or asked.images
    if calibration is None:
        raise UsageError(
            f"{precision} is judged on frames of what the model will see: give a clip or a folder of pictures with "
            "--calibration"
        )
    map_limit = _map_limit(precision, asked)
    default_f1 = _DEFAULT_F1[precision] if map_limit is None else None
    min_f1 = default_f1 if asked.min_f1 is None else asked.min_f1
    if min_f1 is not None and not 0 < min_f1 <= 1:
        raise UsageError(f"an F1 to reach is above 0 and at most 1, not {min_f1:g}")
    return PrecisionOptions(
        precision=precision, calibration=calibration, ranges=asked.ranges, min_f1=min_f1, map_limit=map_limit
    )


def _map_limit(precision: Precision, asked: Asked) -> MapLimit | None:
    if asked.annotations is None and asked.images is None:
        if asked.max_map_loss is not None:
            raise UsageError("--max-map-loss needs ground truth: give --annotations and --images too")
        return None
    if asked.annotations is None or asked.images is None:
        raise UsageError("ground truth is two things: --annotations FILE, and --images DIR that holds its pictures")
    max_loss = _DEFAULT_MAP_LOSS[precision] if asked.max_map_loss is None else asked.max_map_loss
    if not 0 <= max_loss < 1:
        raise UsageError(f"a loss of mAP is at least 0 and below 1, not {max_loss:g}")
    return MapLimit(truth=read_annotations(asked.annotations), images=asked.images, max_loss=max_loss)
