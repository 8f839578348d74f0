"""Results as text, as JSON, and in docs/benchmarks.md."""

import dataclasses
import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from machine import describe, load_average
from part import Cell, Goal, Table

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
PLOTS = {"cameras": ("throughput", "age"), "split": ("split",)}
MARKED = re.compile(r"(<!-- bench (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


class Record:
    """What one part has found; JSON at any time, so that an interrupted run keeps what it has."""

    def __init__(self, title: str, *, quick: bool) -> None:
        self._content: dict[str, Any] = {
            "title": title,
            "measured_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "quick": quick,
            "machine": describe(),
            "load_before": load_average(),
            "tables": [],
            "goals": [],
        }

    def add(self, found: Table | Goal) -> None:
        """Keep a table or a goal."""
        self._content["tables" if isinstance(found, Table) else "goals"].append(dataclasses.asdict(found))
        self._content["load_after"] = load_average()

    @property
    def content(self) -> Mapping[str, Any]:
        """What has been found so far."""
        return self._content


def merge(path: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    """Write records into a JSON file of parts by name; other parts in it stay."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps({**known, **records}, indent=1) + "\n", encoding="utf-8")


def text(found: Table | Goal) -> str:
    """For a terminal."""
    if isinstance(found, Goal):
        return f"{'reached' if found.reached else 'MISSED '}  {found.text}: {found.seen} (goal {found.wanted})"
    rows = [list(found.columns), *([shown(cell) for cell in row] for row in found.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(found.columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([f"\n{found.title}", *lines, *([found.note] if found.note else [])])


def document(records: Mapping[str, Mapping[str, Any]], path: Path = DOCUMENT) -> None:
    """Put each part's figures between its marks in the page of benchmarks."""
    page = path.read_text(encoding="utf-8")

    def filled(match: re.Match[str]) -> str:
        record = records.get(match[2])
        plots = "".join(f"![{name}](plots/{name}.svg)\n\n" for name in PLOTS.get(match[2], ()))
        return f"{match[1]}{markdown(record)}{plots}{match[3]}" if record else match[0]

    path.write_text(MARKED.sub(filled, page), encoding="utf-8")


def markdown(record: Mapping[str, Any]) -> str:
    """One part's figures."""
    machine = record["machine"]
    parts = [
        f"{record['measured_at'][:10]}, {machine['processors']} x {machine['processor']}, {machine['memory_gib']} GiB, "
        f"load average {record['load_before']} before and {record['load_after']} after"
        + ("; a quick run, once and short" if record["quick"] else "")
    ]
    for found in record["tables"]:
        parts += [f"**{found['title']}**", _rows(found["columns"], found["rows"])]
        parts += [found["note"]] if found["note"] else []
    if record["goals"]:
        rows = [[g["text"], g["wanted"], g["seen"], "yes" if g["reached"] else "no"] for g in record["goals"]]
        parts += [_rows(["goal", "wanted", "seen", "reached"], rows)]
    return "\n" + "\n\n".join(parts) + "\n\n"


def shown(cell: Cell) -> str:
    """A cell in words: figures with as many digits as say something."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return str(cell)


def _rows(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    lines = [columns, ["---"] * len(columns), *([shown(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
