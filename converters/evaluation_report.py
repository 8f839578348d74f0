"""An evaluation as one HTML file that needs nothing else: verdicts, table of classes, precision over recall as SVG."""

from html import escape

from converters.coco_scores import RECALLS, ClassResult
from converters.evaluate import Evaluation

_WIDTH, _HEIGHT, _MARGIN = 640, 400, 50
_MAX_CURVES = 8
_COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#8e5ea2", "#b8860b", "#2a9d8f", "#6c757d", "#d63384")


def render(evaluation: Evaluation) -> str:
    """Return the page; whatever came from the annotations is escaped."""
    title = f"{escape(evaluation.name)} version {evaluation.version}"
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse; margin: 1rem 0 }} td, th {{ border-bottom: 1px solid #ddd; padding: .2rem .8rem }}
td + td, th + th {{ text-align: right }} .failed {{ color: #b00020 }} .passed {{ color: #1b7f3b }}
</style></head><body>
<h1>{title}</h1>
<p>{evaluation.pictures} pictures, through Triton; model {escape(evaluation.model_sha256)}</p>
{_table(("Figure", "Value"), _figures(evaluation))}
{_verdicts(evaluation)}
<h2>Classes</h2>
{_table(("Class", "Objects", "AP", "AP at IoU 0.50", "Recall"), [_row(one) for one in evaluation.classes])}
<h2>Precision over recall at IoU 0.50</h2>
{_plot(evaluation.classes)}
</body></html>
"""


def _figures(evaluation: Evaluation) -> list[tuple[str, ...]]:
    return [
        ("mAP, IoU 0.50 to 0.95", f"{evaluation.map:.3f}"),
        ("mAP at IoU 0.50", f"{evaluation.map50:.3f}"),
        ("mAP at IoU 0.75", f"{evaluation.map75:.3f}"),
        ("latency of one frame, median", f"{evaluation.p50_ms:.1f} ms"),
        ("latency of one frame, 95th percentile", f"{evaluation.p95_ms:.1f} ms"),
        ("categories that the model doesn't have", ", ".join(evaluation.not_in_model) or "none"),
    ]


def _verdicts(evaluation: Evaluation) -> str:
    items = [
        f'<li class="{state}">{state}: {escape(verdict.limit)}, is {_number(verdict.value)}</li>'
        for verdict in evaluation.verdicts
        for state in ("passed" if verdict.passed else "failed",)
    ]
    return f"<h2>Limits</h2><ul>{''.join(items)}</ul>" if items else ""


def _row(one: ClassResult) -> tuple[str, ...]:
    return one.label, str(one.objects), _number(one.ap), _number(one.ap50), _number(one.recall)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    titles = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    return f"<table><tr>{titles}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _plot(classes: tuple[ClassResult, ...]) -> str:
    """Draw the classes with the most objects."""
    most = sorted((one for one in classes if one.objects), key=lambda one: -one.objects)[:_MAX_CURVES]
    curves = [_curve(one, colour, line) for line, (one, colour) in enumerate(zip(most, _COLOURS, strict=False))]
    left, right, top, bottom = _MARGIN, _WIDTH - _MARGIN, _MARGIN, _HEIGHT - _MARGIN
    return (
        f'<svg viewBox="0 0 {_WIDTH + 160} {_HEIGHT}" role="img" font-size="12">'
        f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="#888"/>'
        f'<text x="{left}" y="{bottom + 18}">0</text><text x="{right}" y="{bottom + 18}">recall 1</text>'
        f'<text x="{left - 14}" y="{bottom}">0</text><text x="{left - 48}" y="{top - 8}">precision 1</text>'
        f"{''.join(curves)}</svg>"
    )


def _curve(one: ClassResult, colour: str, line: int) -> str:
    width, height = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN
    points = " ".join(
        f"{_MARGIN + recall * width:.1f},{_HEIGHT - _MARGIN - max(precision, 0.0) * height:.1f}"
        for recall, precision in zip(RECALLS, one.precision_at_50, strict=True)
    )
    return (
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        f'<text x="{_WIDTH - 40}" y="{_MARGIN + 16 * line}" fill="{colour}">{escape(one.label)}</text>'
    )


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"
