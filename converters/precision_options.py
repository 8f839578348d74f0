"""What a user may ask of another precision than FP32."""

from dataclasses import dataclass
from pathlib import Path

from converters.errors import UsageError
from converters.spec import Precision, Ranges

_DEFAULT_F1 = {Precision.FP16: 0.98, Precision.INT8: 0.95}


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionOptions:
    """What was asked for.

    Attributes:
        precision: Of the network, `fp16` or `int8`; head and suppression stay FP32.
        calibration: Clip or folder of pictures to calibrate and judge with.
        ranges: How INT8 chooses its ranges.
        min_f1: Agreement with FP32 to reach, above 0 and at most 1.
    """

    precision: Precision
    calibration: Path
    ranges: Ranges
    min_f1: float


def precision_of(
    precision: Precision, calibration: Path | None, ranges: Ranges, min_f1: float | None
) -> PrecisionOptions | None:
    """Return the options, None for FP32.

    Raises:
        UsageError: FP32 is given options of the others, the calibration is missing, or the F1 is out of range.
    """
    if precision is Precision.FP32:
        if calibration is not None or min_f1 is not None:
            raise UsageError("--calibration and --min-f1 are for --precision fp16 or int8; leave them out")
        return None
    if calibration is None:
        raise UsageError(
            f"{precision} is judged on frames of what the model will see: give a clip or a folder of pictures with "
            "--calibration"
        )
    wanted = _DEFAULT_F1[precision] if min_f1 is None else min_f1
    if not 0 < wanted <= 1:
        raise UsageError(f"an F1 to reach is above 0 and at most 1, not {wanted:g}")
    return PrecisionOptions(precision=precision, calibration=calibration, ranges=ranges, min_f1=wanted)
