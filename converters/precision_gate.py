"""The gate of a precision: what it finds beside what FP32 finds, and beside what is known to be there."""

import math
from dataclasses import asdict, dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from converters import coco_scores
from converters.agreement import ENOUGH_BOXES, Agreement, agreement
from converters.errors import ModelError
from converters.parity import Rows
from converters.precision_options import MapLimit, PrecisionOptions
from converters.progress import Report, Steps
from converters.spec import ModelSpec
from converters.verify import onnx_runner


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the gate says of one graph.

    Attributes:
        agreement: With FP32 on the calibration frames.
        map: Mean average precision on the ground truth; None without.
        map_loss: That of FP32 less it; negative where it does better.
        margin: How far inside the limits it is, at the nearest; below 0 it fails.
    """

    agreement: Agreement
    map: float | None
    map_loss: float | None
    margin: float

    @property
    def passed(self) -> bool:
        """Whether every limit is kept."""
        return self.margin >= 0

    def __str__(self) -> str:
        if self.map is None or self.map_loss is None:
            return str(self.agreement)
        return f"{self.agreement}, mAP {self.map:.4f}, which loses {self.map_loss:.4f}"

    def as_record(self) -> dict[str, object]:
        """Return plain values for JSON."""
        measured = {} if self.map is None else {"map": self.map, "map_loss": self.map_loss}
        return {**asdict(self.agreement), **measured}


class Gate:
    """An FP32 graph to compare others with."""

    def __init__(
        self,
        model: onnx.ModelProto,
        spec: ModelSpec,
        frames: NDArray[np.uint8],
        options: PrecisionOptions,
        report: Report,
    ) -> None:
        """Look at everything with FP32.

        Args:
            model: Fused graph.
            spec: What it is.
            frames: NV12 `[n, H * 3 / 2, W]`, to compare what is found on.
            options: With the limits.
            report: Told how far each look is.

        Raises:
            ModelError: FP32 finds too little to judge by, or a picture of the ground truth can't be read.
            MissingError: There is ground truth, but no pycocotools.
        """
        self._spec = spec
        self._frames = frames
        self._min_f1 = options.min_f1
        self._map_limit = options.map_limit
        self._report = report
        self._expected = self._rows(model)
        self._fp32_map = None if options.map_limit is None else self._map(model, options.map_limit)
        found = sum(map(len, self._expected))
        if self._min_f1 is not None and found < ENOUGH_BOXES:
            raise ModelError(
                f"the FP32 model finds {found} boxes in the calibration frames, at least {ENOUGH_BOXES} are needed to "
                "judge another precision by: give a clip that shows what the model is to find"
            )
        if self._fp32_map == 0:
            raise ModelError(
                "the FP32 model finds nothing of the ground truth (mAP 0), so there is nothing to lose; check that "
                "--annotations and --images belong together"
            )

    def judge(self, lowered: onnx.ModelProto) -> Judgement:
        """Look at everything with another graph."""
        agreed = agreement(self._expected, self._rows(lowered))
        margins = [] if self._min_f1 is None else [agreed.f1 - self._min_f1]
        if self._map_limit is None or self._fp32_map is None:
            return Judgement(agreement=agreed, map=None, map_loss=None, margin=min(margins, default=math.inf))
        reached = self._map(lowered, self._map_limit)
        loss = self._fp32_map - reached
        margin = min([*margins, self._map_limit.max_loss - loss])
        return Judgement(agreement=agreed, map=reached, map_loss=loss, margin=margin)

    def as_record(self) -> dict[str, object]:
        """Return for the manifest the limits, and what FP32 does."""
        limits: dict[str, object] = {} if self._min_f1 is None else {"min_f1": self._min_f1}
        if self._map_limit is not None:
            truth = self._map_limit.truth
            limits |= {
                "max_map_loss": self._map_limit.max_loss,
                "map_fp32": self._fp32_map,
                "ground_truth": {
                    "pictures": len(truth.pictures),
                    "objects": sum(len(picture.boxes) for picture in truth.pictures),
                },
            }
        return limits

    def wanted(self) -> str:
        """Return the limits in words."""
        limits = [] if self._min_f1 is None else [f"F1 {self._min_f1:g}"]
        if self._map_limit is not None:
            limits.append(f"a loss of mAP of at most {self._map_limit.max_loss:g}")
        return " and ".join(limits)

    def _rows(self, model: onnx.ModelProto) -> Rows:
        return rows_of_each(model, self._frames, Steps(self._report, len(self._frames)))

    def _map(self, model: onnx.ModelProto, limit: MapLimit) -> float:
        run = onnx_runner(model.SerializeToString())
        return coco_scores.score(lambda frame: run(frame[None])[0], self._spec, limit.truth, limit.images).map


def rows_of_each(model: onnx.ModelProto, frames: NDArray[np.uint8], told: Steps) -> Rows:
    """Return what a graph finds in each frame `[H * 3 / 2, W]`, asked about one at a time."""
    run, found = onnx_runner(model.SerializeToString()), list[NDArray[np.float32]]()
    for frame in frames:
        found += run(frame[None])
        told()
    return found
