"""A tuning's table as CSV, and as an SVG of throughput over latency."""

import csv
import io
from html import escape

from converters.tune import Trial, Tuning, rows

_WIDTH, _HEIGHT, _MARGIN = 640, 400, 60


def table(tuning: Tuning) -> str:
    """Return all trials as CSV with a header."""
    lines = list(rows(tuning))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(lines[0]))
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def plot(tuning: Tuning) -> str:
    """Return an SVG: a dot for each trial, the limit as a line, the best with a ring."""
    longest = max(*(trial.load.p95_ms for trial in tuning.trials), tuning.latency_limit_ms)
    fastest = max(trial.load.frames_per_s for trial in tuning.trials)
    left, right, top, bottom = _MARGIN, _WIDTH - _MARGIN, _MARGIN, _HEIGHT - _MARGIN
    limit = left + tuning.latency_limit_ms / longest * (right - left)
    dots = "".join(_dot(trial, longest, fastest, best=trial is tuning.best) for trial in tuning.trials)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-size="12">'
        f'<text x="{left}" y="20">{escape(tuning.name)}: frames/s over the 95th percentile of latency</text>'
        f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="#888"/>'
        f'<path d="M{limit:.1f} {top}V{bottom}" stroke="#b00020" stroke-dasharray="4"/>'
        f'<text x="{left}" y="{bottom + 20}">0</text><text x="{right - 20}" y="{bottom + 20}">{longest:.1f} ms</text>'
        f'<text x="4" y="{top}">{fastest:.1f} /s</text>{dots}</svg>\n'
    )


def _dot(trial: Trial, longest: float, fastest: float, *, best: bool) -> str:
    x = _MARGIN + trial.load.p95_ms / longest * (_WIDTH - 2 * _MARGIN)
    y = _HEIGHT - _MARGIN - trial.load.frames_per_s / fastest * (_HEIGHT - 2 * _MARGIN)
    colour = "#1b6ca8" if trial.kept else "#bbb"
    ring = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9" fill="none" stroke="#1b7f3b" stroke-width="2"/>' if best else ""
    setting = trial.setting
    title = (
        f"{setting.instances} x {setting.threads} threads, batch {setting.max_batch_size}, "
        f"delay {setting.max_queue_delay_microseconds}, concurrency {trial.load.concurrency}"
    )
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{title}</title></circle>{ring}'
