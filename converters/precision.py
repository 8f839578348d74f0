"""FP16 and INT8 of a fused graph, with a gate: what is found must stay what FP32 finds, or nothing is published.

Head, suppression and sensitive operators stay in FP32. Where the gate fails, so do the operators that add most noise,
worst first, until it passes or the rounds are over (docs/adr/0071).
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

import numpy as np
import onnx
from numpy.typing import NDArray

from converters.bias_correction import BiasCorrection
from converters.calibration import CalibrationSet, load_calibration
from converters.errors import ModelError, UsageError
from converters.half import half_rounding, to_half
from converters.parity import Rows
from converters.pictures import PictureSet
from converters.precision_gate import Gate, Judgement, rows_of_each
from converters.precision_options import PrecisionOptions
from converters.precision_scope import lowerable, named, quantisable
from converters.precision_search import worst_first
from converters.progress import Report, Steps
from converters.reference import session
from converters.spec import INPUT_NAME, BuiltModel, Precision, Target, Task, Tolerance
from converters.verify import at_threshold, verify

MAX_ROUNDS = 10

_STEP = 0.05
"""Share of the operators that each round gives back to FP32."""
_SEARCH_FRAMES = 4
_TIMED_RUNS = 15
_TOLERANCE = Tolerance(box_px=2.0, score=0.05)
"""Between batch sizes: a sum in another order may fall on the other side of a quantisation step."""

Lower = Callable[[Collection[str]], onnx.ModelProto]


@dataclass(frozen=True, slots=True)
class _Candidates:
    """An FP32 graph, its nodes that may be lowered, and what lowers some of them."""

    model: onnx.ModelProto
    chosen: list[str]
    lower: Lower


@dataclass(frozen=True, slots=True)
class _Found:
    """A graph that passed the gate."""

    model: onnx.ModelProto
    judgement: Judgement
    operators: int
    kept: list[str]


def in_precision(
    built: BuiltModel, options: PrecisionOptions, target: Target, pictures: PictureSet, report: Report
) -> BuiltModel:
    """Verify an FP32 model and return it in the precision asked for; `figures` says what that costs and gains.

    Raises:
        UsageError: The model is a classifier.
        ModelError: FP32 disagrees with the original, the calibration can't be read or shows too little, or no choice of
            operators passes the gate.
    """
    if built.spec.task is Task.CLASSIFY:
        raise UsageError(f"{options.precision} is judged by boxes: a classifier has none; publish it in fp32")
    report(f"verify fp32 against the original on {len(pictures.names)} pictures")
    parity = verify(built, pictures, report)
    frames = load_calibration(options.calibration, built.spec)
    report(f"lower to {options.precision} with {len(frames.frames)} frames of {frames.name}")
    model = named(built.model)
    correct = BiasCorrection(model, frames.frames)
    lower: Lower = partial(_to_half, model, correct)
    chosen = lowerable(model)
    if options.precision is Precision.INT8:
        from converters.int8 import Int8

        lower = Int8(model, frames.frames, options.ranges, target, correct, report)
        chosen = quantisable(model)
    if not chosen:
        raise ModelError(f"no operator of the network may leave fp32 for {options.precision}; publish it in fp32")
    report(f"look at {len(frames.frames)} frames in fp32, to judge by")
    gate = Gate(model, built.spec, frames.frames, options, report)
    found = _search(_Candidates(model, chosen, lower), gate, frames.frames, report)
    return replace(
        built,
        model=found.model,
        spec=replace(built.spec, precision=options.precision),
        reference=partial(_one_by_one, found.model),
        picture_reference=None,
        tolerance=_TOLERANCE,
        figures={"fp32_parity": parity.as_record(), **_figures(built.model, found, gate, options, frames)},
    )


def _figures(
    model: onnx.ModelProto, found: _Found, gate: Gate, options: PrecisionOptions, frames: CalibrationSet
) -> dict[str, object]:
    """Return for the manifest how the gate was passed, and size and time before and after."""
    models = {Precision.FP32.value: model, options.precision.value: found.model}
    sizes = {name: each.ByteSize() for name, each in models.items()}
    times = _timed(models, frames.frames[:1])
    before, after = models
    return {
        "summary": f"{found.judgement} against fp32 on {len(frames.frames)} frames; "
        f"{sizes[before]} to {sizes[after]} bytes, {times[before]:.1f} to {times[after]:.1f} ms a frame on one thread; "
        f"{len(found.kept)} of {found.operators + len(found.kept)} operators kept in fp32",
        **found.judgement.as_record(),
        **gate.as_record(),
        "calibration": {"name": frames.name, "sha256": frames.sha256, "frames": len(frames.frames)},
        "ranges": options.ranges.value if options.precision is Precision.INT8 else None,
        "operators": found.operators,
        "kept_in_fp32": found.kept,
        "bytes": sizes,
        "ms_per_frame": times,
    }


def _search(candidates: _Candidates, gate: Gate, frames: NDArray[np.uint8], report: Report) -> _Found:
    """Give operators back to FP32, worst first, until the gate passes twice running; the better of the two is found.

    Of many rounds one may pass by luck, a few boxes being just above the threshold; the very first isn't one of many.

    Raises:
        ModelError: It fails after the last round, or no operator is left.
    """
    chosen = candidates.chosen
    kept: list[str] = []
    step = max(1, round(_STEP * len(chosen)))
    picked = frames[np.linspace(0, len(frames) - 1, min(_SEARCH_FRAMES, len(frames))).astype(int)]
    judged: list[Judgement] = []
    before: _Found | None = None
    for round_number in range(MAX_ROUNDS + 1):
        if before is not None:
            worst = worst_first(candidates.model, before.model, chosen, picked)[:step]
            if len(worst) == len(chosen):
                break
            kept += worst
            chosen = [name for name in chosen if name not in worst]
        lowered = candidates.lower(chosen)
        report(f"round {round_number}: {len(kept)} operators kept in fp32")
        found = _Found(lowered, gate.judge(lowered), len(chosen), [*kept])
        report(f"round {round_number}: {found.judgement}")
        if found.judgement.passed and (before is None or before.judgement.passed):
            return max(filter(None, (before, found)), key=lambda one: one.judgement.margin)
        judged.append(found.judgement)
        before = found
    best = max(judged, key=lambda judgement: judgement.margin)
    raise ModelError(
        f"what it finds differs too much from fp32: {best} at best, {gate.wanted()} wanted, with up to {len(kept)} "
        "operators kept in fp32; try other ranges (--ranges), other frames, fp16, or a wider limit"
    )


def _to_half(model: onnx.ModelProto, correct: BiasCorrection, chosen: Collection[str]) -> onnx.ModelProto:
    return to_half(correct(model, chosen, half_rounding), chosen)


def _one_by_one(model: onnx.ModelProto, frames: NDArray[np.uint8], score_threshold: float) -> Rows:
    """The reference of a lowered graph: itself, a frame at a time; its distance from FP32 is the gate's affair."""
    return rows_of_each(at_threshold(model, score_threshold), frames, Steps(None, len(frames)))


def _timed(models: dict[str, onnx.ModelProto], frame: NDArray[np.uint8]) -> dict[str, float]:
    """Return the median time of a frame on one thread, in milliseconds, the models taking turns."""
    runs = {name: session(model.SerializeToString()) for name, model in models.items()}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(_TIMED_RUNS + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run.run(None, {INPUT_NAME: frame})
            taken[name].append((time.perf_counter() - start) * 1e3)
    return {name: round(median(times[1:]), 2) for name, times in taken.items()}
