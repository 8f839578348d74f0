"""Detections against COCO ground truth: average precision, over all and by class.

Average precision is pycocotools' (https://cocodataset.org/#detection-eval): the mean over ten IoU thresholds, 0.50 to
0.95, of the precision at 101 recalls.
"""

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.coco_annotations import GroundTruth
from converters.errors import MissingError, ModelError
from converters.pictures import decode_picture, nv12_of, on_canvas
from converters.spec import Letterbox, ModelSpec, Task

RECALLS = np.linspace(0, 1, 101)
_IOU_50, _IOU_75 = 0, 5
"""Indices in COCO's ten thresholds."""

Ask = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""One NV12 frame `[H * 3 / 2, W]` in, rows `[n, 6 + 3K]` in canvas pixels out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassResult:
    """How well one class is found; figures are None where the pictures hold none of it.

    Attributes:
        label: Its name.
        objects: In the ground truth, crowds left out.
        ap: Mean over IoU 0.50 to 0.95, 0 to 1.
        ap50: At IoU 0.50.
        recall: Mean over IoU 0.50 to 0.95 of the share found among at most 100 a picture.
        precision_at_50: At IoU 0.50, at each of `RECALLS`.
    """

    label: str
    objects: int
    ap: float | None
    ap50: float | None
    recall: float | None
    precision_at_50: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """How well a detector does on a whole set of pictures.

    Attributes:
        map: Mean average precision over the classes, IoU 0.50 to 0.95; 0 where the pictures hold nothing to find.
        map50: At IoU 0.50.
        map75: At IoU 0.75.
        classes: Those of the ground truth that the model has.
    """

    map: float
    map50: float
    map75: float
    classes: tuple[ClassResult, ...]


def judged_labels(truth: GroundTruth, spec: ModelSpec) -> list[str]:
    """Return the categories that a model has, in the file's order.

    Raises:
        ModelError: It is a classifier, or has none of them.
    """
    if spec.task is Task.CLASSIFY:
        raise ModelError("it is a classifier; COCO's boxes judge detectors")
    judged = [label for label in truth.categories if label in spec.labels]
    if not judged:
        raise ModelError(
            f"the model has none of the categories {', '.join(truth.categories[:8])}; name them as it does"
        )
    return judged


def score(ask: Ask, spec: ModelSpec, truth: GroundTruth, folder: Path) -> Scores:
    """Ask about every picture and compare with the ground truth.

    Args:
        ask: The detector.
        spec: What it is.
        truth: Names the pictures and what is in them.
        folder: Where they lie.

    Raises:
        ModelError: A picture can't be read, or the model has none of the categories.
        MissingError: There is no pycocotools.
    """
    judged = judged_labels(truth, spec)
    rows = [_rows(ask, spec, folder / picture.file_name) for picture in truth.pictures]
    precision, recall = _coco(truth, judged, spec, rows)
    return Scores(
        map=_mean(precision) or 0.0,
        map50=_mean(precision[_IOU_50]) or 0.0,
        map75=_mean(precision[_IOU_75]) or 0.0,
        classes=tuple(_class_result(label, index, truth, precision, recall) for index, label in enumerate(judged)),
    )


def _rows(ask: Ask, spec: ModelSpec, path: Path) -> NDArray[np.float32]:
    """Return what is found in a picture, in its own pixels."""
    image = decode_picture(path)
    return _in_picture(ask(nv12_of(on_canvas(image, spec))), image.shape[:2], spec)


def _in_picture(rows: NDArray[np.float32], size: tuple[int, ...], spec: ModelSpec) -> NDArray[np.float32]:
    """Undo `pictures.on_canvas`: boxes from canvas pixels to the picture's, cut at its edges."""
    height, width = size
    scale = min(spec.height / height, spec.width / width)
    inner = np.array([max(1, round(width * scale)), max(1, round(height * scale))])
    if spec.letterbox is Letterbox.STRETCH:
        inner = np.array([spec.width, spec.height])
    spare = np.array([spec.width, spec.height]) - inner
    offset = spare // 2 if spec.letterbox is Letterbox.CENTER else np.zeros(2)
    placed = rows.copy()
    corners = (placed[:, :4].reshape(-1, 2, 2) - offset) * (np.array([width, height]) / inner)
    placed[:, :4] = np.clip(corners, 0, [width, height]).reshape(-1, 4)
    return placed


def _coco(
    truth: GroundTruth, judged: Sequence[str], spec: ModelSpec, rows: Sequence[NDArray[np.float32]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return precision `[10, 101, classes]` and recall `[10, classes]`, -1 where nothing is there to be found."""
    try:
        from pycocotools.coco import COCO  # type: ignore[import-untyped,unused-ignore]
        from pycocotools.cocoeval import COCOeval  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise MissingError("pycocotools is not installed; pip install pycocotools") from error
    images: list[dict[str, Any]] = [{"id": index} for index in range(len(rows))]
    categories = [{"id": index, "name": label} for index, label in enumerate(judged)]
    with contextlib.redirect_stdout(io.StringIO()):  # it tells its progress there
        expected, found = COCO(), COCO()
        for side, annotations in ((expected, _expected(truth, judged)), (found, _found(judged, spec, rows))):
            dataset: Any = {"images": images, "categories": categories, "annotations": list(annotations)}
            side.dataset = dataset
            side.createIndex()
        evaluation = COCOeval(expected, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    result: Any = evaluation.eval
    return result["precision"][:, :, :, 0, -1], result["recall"][:, :, 0, -1]


def _expected(truth: GroundTruth, judged: Sequence[str]) -> Iterator[dict[str, Any]]:
    boxes = [(index, box) for index, picture in enumerate(truth.pictures) for box in picture.boxes]
    for number, (index, box) in enumerate((image, box) for image, box in boxes if box.category in judged):
        yield {
            "id": number + 1,  # 0 would mean "unmatched"
            "image_id": index,
            "category_id": judged.index(box.category),
            "bbox": list(box.xywh),
            "area": box.area,
            "iscrowd": int(box.crowd),
        }


def _found(judged: Sequence[str], spec: ModelSpec, rows: Sequence[NDArray[np.float32]]) -> Iterator[dict[str, Any]]:
    category = {spec.labels.index(label): index for index, label in enumerate(judged)}
    every = ((index, row) for index, table in enumerate(rows) for row in table if int(row[5]) in category)
    for number, (index, row) in enumerate(every):
        left, top, right, bottom = (float(value) for value in row[:4])
        yield {
            "id": number + 1,
            "image_id": index,
            "category_id": category[int(row[5])],
            "bbox": [left, top, right - left, bottom - top],
            "area": (right - left) * (bottom - top),
            "iscrowd": 0,
            "score": float(row[4]),
        }


def _class_result(
    label: str, index: int, truth: GroundTruth, precision: NDArray[np.float64], recall: NDArray[np.float64]
) -> ClassResult:
    boxes = [box for picture in truth.pictures for box in picture.boxes if box.category == label and not box.crowd]
    return ClassResult(
        label=label,
        objects=len(boxes),
        ap=_mean(precision[:, :, index]),
        ap50=_mean(precision[_IOU_50, :, index]),
        recall=_mean(recall[:, index]),
        precision_at_50=tuple(float(value) for value in precision[_IOU_50, :, index]) if boxes else (),
    )


def _mean(values: NDArray[np.float64]) -> float | None:
    """Return the mean of what was measured; COCO marks the rest with -1."""
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else None
