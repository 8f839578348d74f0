"""How well a published model does on pictures of known content: asked through a real Triton, judged by COCO's rules.

Average precision is pycocotools' (https://cocodataset.org/#detection-eval): the mean over ten IoU thresholds, 0.50 to
0.95, of the precision at 101 recalls.
"""

import contextlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters import integrity, triton_config
from converters.coco_annotations import GroundTruth
from converters.errors import MissingError, ModelError, UsageError
from converters.parity import rows_of
from converters.pictures import decode_picture, nv12_of, on_canvas
from converters.repository import CONFIG_FILE, Repository
from converters.spec import COUNT_NAME, DETECTIONS_NAME, INPUT_NAME, Letterbox, ModelSpec, Task
from converters.triton_server import TrialServer, trial_server

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
class Verdict:
    """A limit that was stated, and whether it is kept.

    Attributes:
        limit: Such as `map50>=0.5`.
        value: What was measured.
        passed: Whether it is kept.
    """

    limit: str
    value: float | None
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What came of an evaluation.

    Attributes:
        name: Model.
        version: Served version.
        model_sha256: Of its file.
        pictures: Looked at.
        map: Mean average precision over the classes, IoU 0.50 to 0.95.
        map50: At IoU 0.50.
        map75: At IoU 0.75.
        p50_ms: Median of one request of one frame through Triton, on this machine.
        p95_ms: Its 95th percentile.
        classes: Those of the ground truth that the model has.
        not_in_model: Categories that it hasn't; they are left out.
        verdicts: One for each limit.
    """

    name: str
    version: int
    model_sha256: str
    pictures: int
    map: float
    map50: float
    map75: float
    p50_ms: float
    p95_ms: float
    classes: tuple[ClassResult, ...]
    not_in_model: tuple[str, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether every limit is kept."""
        return all(verdict.passed for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on one figure: `map`, `map50`, `map75` and `ap.LABEL` at least, `p50_ms` and `p95_ms` at most.

    Attributes:
        figure: Its name.
        bound: In the figure's unit.
    """

    figure: str
    bound: float

    @classmethod
    def parsed(cls, text: str) -> "Limit":
        """Read `map50=0.5`.

        Raises:
            UsageError: It is not of that form.
        """
        figure, _, bound = text.rpartition("=")
        known = figure in ("map", "map50", "map75", "p50_ms", "p95_ms") or figure.startswith("ap.")
        try:
            value = float(bound)
        except ValueError:
            known, value = False, 0.0
        if not known:
            raise UsageError(
                f"{text!r} is no limit; say map, map50, map75, ap.LABEL, p50_ms or p95_ms, as in map50=0.5"
            )
        return cls(figure, value)

    def judge(self, figures: dict[str, float | None]) -> Verdict:
        """Compare with what was measured; a figure that could not be measured is not kept.

        Raises:
            UsageError: There is no such label.
        """
        if self.figure not in figures:
            raise UsageError(f"no class for the limit {self.figure}; there are: {', '.join(sorted(figures))}")
        value, at_most = figures[self.figure], self.figure.endswith("_ms")
        kept = value is not None and (value <= self.bound if at_most else value >= self.bound)
        sign = "<=" if at_most else ">="
        return Verdict(limit=f"{self.figure}{sign}{self.bound:g}", value=value, passed=kept)


def evaluate(
    root: Path,
    name: str,
    truth: GroundTruth,
    pictures: Path,
    limits: Sequence[Limit],
    report: Callable[[str], None],
) -> Evaluation:
    """Ask the served version of a detector about every picture and compare with the ground truth.

    Raises:
        ModelError: The model, a picture or the ground truth can't be used.
        UsageError: A limit names a class that isn't judged.
        MissingError: There is no Triton, or no pycocotools.
    """
    repository = Repository(root)
    version = repository.served_version(name)
    integrity.check(root / name / str(version))
    spec = triton_config.spec_of(triton_config.parse(repository.config(name) or ""))
    if spec.task is Task.CLASSIFY:
        raise ModelError(f"{name} is a classifier; COCO's boxes judge detectors")
    judged = [label for label in truth.categories if label in spec.labels]
    if not judged:
        raise ModelError(f"{name} has none of the categories {', '.join(truth.categories[:8])}; name them as it does")
    report(f"ask a real Triton about {len(truth.pictures)} pictures")
    with TemporaryDirectory(prefix="ruth-convert-") as stage:
        _copy_served(repository, name, version, Path(stage))
        with trial_server(Path(stage), [name]) as server:
            rows, seconds = _answers(_asker(server, name), spec, truth, pictures)
    report("compare with the ground truth")
    precision, recall = _coco(truth, judged, spec, rows)
    classes = tuple(_class_result(label, index, truth, precision, recall) for index, label in enumerate(judged))
    p50_ms, p95_ms = (float(value) for value in np.percentile(seconds, [50, 95]) * 1000)
    overall = {"map": _mean(precision), "map50": _mean(precision[_IOU_50]), "map75": _mean(precision[_IOU_75])}
    figures = {**overall, "p50_ms": p50_ms, "p95_ms": p95_ms, **{f"ap.{one.label}": one.ap for one in classes}}
    return Evaluation(
        name=name,
        version=version,
        model_sha256=integrity.recorded_hashes(root / name / str(version))[triton_config.MODEL_FILE],
        pictures=len(truth.pictures),
        map=overall["map"] or 0.0,
        map50=overall["map50"] or 0.0,
        map75=overall["map75"] or 0.0,
        p50_ms=p50_ms,
        p95_ms=p95_ms,
        classes=classes,
        not_in_model=tuple(label for label in truth.categories if label not in spec.labels),
        verdicts=tuple(limit.judge(figures) for limit in limits),
    )


def _copy_served(repository: Repository, name: str, version: int, stage: Path) -> None:
    """Link, don't copy: only the served version, and its configuration as it is."""
    (stage / name).mkdir()
    for entry in (repository.root / name).iterdir():
        if entry.name in (str(version), CONFIG_FILE) or (entry.is_dir() and not entry.name.isdecimal()):
            (stage / name / entry.name).symlink_to(entry.resolve())


def _asker(server: TrialServer, name: str) -> Ask:
    def ask(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        detections, counts = server.infer(name, {INPUT_NAME: frame[None]}, [DETECTIONS_NAME, COUNT_NAME])
        return rows_of(detections, counts)[0]

    return ask


def _answers(
    ask: Ask, spec: ModelSpec, truth: GroundTruth, folder: Path
) -> tuple[list[NDArray[np.float32]], list[float]]:
    """Return the rows of each picture in its own pixels, and the seconds of each request; the first is asked twice."""
    found: list[NDArray[np.float32]] = []
    seconds: list[float] = []
    for picture in truth.pictures:
        image = decode_picture(folder / picture.file_name)
        frame = nv12_of(on_canvas(image, spec))
        if not found:
            ask(frame)
        start = time.perf_counter()
        rows = ask(frame)
        seconds.append(time.perf_counter() - start)
        found.append(_in_picture(rows, image.shape[:2], spec))
    return found, seconds


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
