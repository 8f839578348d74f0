"""`ruth-convert evaluate NAME`: average precision, latency, and whether stated limits are kept."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from converters.arguments import add_name, add_repository
from converters.errors import ModelError
from converters.verbs.answer import Answer, Report

if TYPE_CHECKING:
    from converters.evaluate import Evaluation

HELP = "measure a published detector against COCO ground truth"


def add(sub: argparse.ArgumentParser) -> None:
    """Add its options."""
    add_name(sub)
    sub.add_argument("--annotations", type=Path, required=True, metavar="FILE", help="COCO's JSON of boxes")
    sub.add_argument("--images", type=Path, required=True, metavar="DIR", help="the pictures that it names")
    sub.add_argument(
        "--limits",
        nargs="+",
        default=[],
        metavar="LIMIT",
        help="end with 1 unless kept: map, map50, map75, ap.LABEL at least, p50_ms, p95_ms at most; as in map50=0.5",
    )
    sub.add_argument("--html", type=Path, metavar="FILE", help="write a report")
    add_repository(sub)


def run(parsed: argparse.Namespace, report: Report) -> Answer:
    """Evaluate, write the report, judge."""
    from converters.coco_annotations import read_annotations
    from converters.evaluate import Limit, evaluate
    from converters.evaluation_report import render

    if parsed.html:
        _check_writable(parsed.html)
    limits = [Limit.parsed(text) for text in parsed.limits]
    truth = read_annotations(parsed.annotations)
    result = evaluate(parsed.repository, parsed.name, truth, parsed.images, limits, report)
    if parsed.html:
        try:
            parsed.html.write_text(render(result), encoding="utf-8")
        except OSError as error:
            raise _unwritable(parsed.html, error) from error
    value = {**asdict(result), "passed": result.passed}
    return Answer(value=value, lines=_lines(result), status=int(not result.passed))


def _check_writable(report: Path) -> None:
    """Find out whether the report can be written before minutes are spent on it; one that is there stays.

    Raises:
        ModelError: It can't.
    """
    new = not report.exists()
    try:
        with report.open("ab"):
            pass
        if new:
            report.resolve().unlink()  # of a link what it leads to, which was made here
    except OSError as error:
        raise _unwritable(report, error) from error


def _unwritable(report: Path, error: OSError) -> ModelError:
    return ModelError(f"{report} can't be written ({error.strerror}); choose another --html")


def _lines(result: "Evaluation") -> list[str]:
    figures = f"mAP {result.map:.3f}, at IoU 0.50 {result.map50:.3f}, on {result.pictures} pictures"
    speed = f"{result.p50_ms:.1f} ms a frame, 95 % under {result.p95_ms:.1f} ms"
    lines = [f"{result.name} version {result.version}: {figures}; {speed}"]
    for one in result.classes:
        ap = "nothing to find" if one.ap is None else f"AP {one.ap:.3f}"
        lines.append(f"{one.label:<24} {one.objects:>6} objects  {ap}")
    if result.not_in_model:
        lines.append(f"not in the model: {', '.join(result.not_in_model)}")
    for verdict in result.verdicts:
        measured = "not measured" if verdict.value is None else f"{verdict.value:.3f}"
        lines.append(f"{'passed' if verdict.passed else 'FAILED'}  {verdict.limit}, is {measured}")
    return lines
