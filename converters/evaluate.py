"""How well a published model does on pictures of known content: asked through a real Triton, judged by COCO's rules."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from converters import coco_scores, integrity, triton_config
from converters.coco_annotations import GroundTruth
from converters.coco_scores import Ask, ClassResult
from converters.errors import UsageError
from converters.parity import rows_of
from converters.repository import CONFIG_FILE, Repository
from converters.spec import COUNT_NAME, DETECTIONS_NAME, INPUT_NAME
from converters.triton_server import TrialServer, trial_server

_FIGURES = ("map", "map50", "map75", "p50_ms", "p95_ms")


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
        known = figure in _FIGURES or figure.startswith("ap.")
        try:
            value = float(bound)
        except ValueError:
            known, value = False, 0.0
        if not known:
            raise UsageError(
                f"{text!r} is no limit; say map, map50, map75, ap.LABEL, p50_ms or p95_ms, as in map50=0.5"
            )
        return cls(figure, value)

    def check(self, labels: Sequence[str]) -> None:
        """Find out whether its figure can be measured at all, before anything is.

        Raises:
            UsageError: It is of a class that isn't judged.
        """
        known = [*_FIGURES, *(f"ap.{label}" for label in labels)]
        if self.figure not in known:
            raise UsageError(f"no class for the limit {self.figure}; there are: {', '.join(sorted(known))}")

    def judge(self, figures: dict[str, float | None]) -> Verdict:
        """Compare with what was measured; a figure that could not be measured is not kept."""
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
    judged = coco_scores.judged_labels(truth, spec)
    for limit in limits:
        limit.check(judged)
    report(f"ask a real Triton about {len(truth.pictures)} pictures")
    seconds: list[float] = []
    with TemporaryDirectory(prefix="ruth-convert-") as stage:
        _copy_served(repository, name, version, Path(stage))
        with trial_server(Path(stage), [name]) as server:
            ask = _asker(server, name)
            ask(np.zeros(spec.frame_shape, dtype=np.uint8))  # the first request is slower
            scores = coco_scores.score(_timed(ask, seconds), spec, truth, pictures)
    p50_ms, p95_ms = (float(value) for value in np.percentile(seconds, [50, 95]) * 1000)
    overall = {"map": scores.map, "map50": scores.map50, "map75": scores.map75}
    by_class = {f"ap.{one.label}": one.ap for one in scores.classes}
    figures: dict[str, float | None] = {**overall, "p50_ms": p50_ms, "p95_ms": p95_ms, **by_class}
    return Evaluation(
        name=name,
        version=version,
        model_sha256=integrity.recorded_hashes(root / name / str(version))[triton_config.MODEL_FILE],
        pictures=len(truth.pictures),
        map=scores.map,
        map50=scores.map50,
        map75=scores.map75,
        p50_ms=p50_ms,
        p95_ms=p95_ms,
        classes=scores.classes,
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


def _timed(ask: Ask, seconds: list[float]) -> Ask:
    """Return the same, noting how long each request takes."""

    def timed(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        start = time.perf_counter()
        rows = ask(frame)
        seconds.append(time.perf_counter() - start)
        return rows

    return timed
