"""`ruth-convert tune NAME`: find and write the fastest setting under a latency limit."""

import argparse
from dataclasses import asdict
from pathlib import Path

from converters.arguments import add_name, add_repository, positive
from converters.errors import ModelError
from converters.verbs.answer import Answer, Report

HELP = "find the fastest batch, instances, threads and queue delay under a latency limit"


def add(sub: argparse.ArgumentParser) -> None:
    """Add its options."""
    add_name(sub)
    sub.add_argument("--latency-limit-ms", type=float, required=True, metavar="MS", help="on the 95th percentile")
    sub.add_argument("--seconds", type=positive, default=180, help="start no trial after this (default 180)")
    sub.add_argument("--requests", type=positive, default=100, help="measured in each window (default 100)")
    sub.add_argument("--pictures", type=Path, metavar="DIR", help="frames to ask about (default: rendered ones)")
    sub.add_argument("--output", type=Path, metavar="DIR", help="write tune_NAME.csv and tune_NAME.svg there")
    sub.add_argument("--dry-run", action="store_true", help="don't write the configuration")
    add_repository(sub)


def run(parsed: argparse.Namespace, report: Report) -> Answer:
    """Sweep, leave table and plot, write the configuration."""
    from converters import tuning_report
    from converters.pictures import load_pictures, render_pictures
    from converters.tune import apply, tune

    tuning = tune(
        parsed.repository,
        parsed.name,
        load_pictures(parsed.pictures) if parsed.pictures else render_pictures(),
        latency_limit_ms=parsed.latency_limit_ms,
        seconds=parsed.seconds,
        requests=parsed.requests,
        report=report,
    )
    if parsed.output:
        _write(parsed.output / f"tune_{parsed.name}.csv", tuning_report.table(tuning))
        _write(parsed.output / f"tune_{parsed.name}.svg", tuning_report.plot(tuning))
    if not parsed.dry_run:
        apply(parsed.repository, tuning)
    best, setting = tuning.best.load, tuning.best.setting
    before = (
        f"{tuning.before.load.frames_per_s:.1f} frames/s until now" if tuning.before else "limit not kept until now"
    )
    how = (
        f"{setting.instances} instances, {setting.threads} threads, batches of up to {setting.max_batch_size}, "
        f"{setting.max_queue_delay_microseconds} µs of queue delay"
    )
    lines = [
        f"{tuning.name}: {best.frames_per_s:.1f} frames/s, 95 % under {best.p95_ms:.1f} ms ({before})",
        f"{'would be served' if parsed.dry_run else 'served from the next load on'} with {how}",
    ]
    if tuning.too_slow:
        lines.append(f"{len(tuning.too_slow)} settings were too slow by far to keep the limit")
    if tuning.untried:
        lines.append(f"{tuning.untried} settings were not tried for want of time; --seconds gives more")
    return Answer(value={**asdict(tuning), "written": not parsed.dry_run}, lines=lines)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{path} can't be written ({error.strerror}); choose another --output") from error
