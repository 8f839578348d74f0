"""Draws docs/plots from recorded results; run where matplotlib is."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams.update(
    {"svg.hashsalt": "ruth", "svg.fonttype": "none", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}
)
from matplotlib import pyplot as plt  # noqa: E402

CLIENT, CAMERAS = "client", "cameras"


def main(results: Path, folder: Path) -> None:
    """Draw every plot whose figures are known."""
    records = json.loads(results.read_text(encoding="utf-8"))
    folder.mkdir(exist_ok=True)
    if "cameras" in records:
        table = records["cameras"]["tables"][0]
        draw_lines(table, "frames/s", "frames/s", folder / "throughput.svg")
        draw_lines(table, "p99 ms", "age of a result, 99th percentile, ms", folder / "age.svg", logarithmic=True)
    if "split" in records:
        draw_split(records["split"]["tables"][0], folder / "split.svg")
    if "scheduling" in records:
        draw_seconds(records["scheduling"]["tables"][1], folder / "scheduling.svg")


def draw_lines(table: Mapping[str, Any], column: str, label: str, path: Path, *, logarithmic: bool = False) -> None:
    """A figure against the number of cameras, a line for each client."""
    client, cameras, value = (table["columns"].index(name) for name in (CLIENT, CAMERAS, column))
    figure, axes = plt.subplots(figsize=(6.4, 3.6))
    for name in dict.fromkeys(row[client] for row in table["rows"]):
        rows = [row for row in table["rows"] if row[client] == name and row[value] is not None]
        axes.plot([row[cameras] for row in rows], [row[value] for row in rows], marker="o", label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted({row[cameras] for row in table["rows"]}), minor=False)
    axes.xaxis.set_major_formatter("{x:.0f}")
    if logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel("cameras")
    axes.set_ylabel(label)
    axes.legend(fontsize=7)
    save(figure, path)


def draw_split(table: Mapping[str, Any], path: Path) -> None:
    """One bar whose pieces are what a frame costs."""
    figure, axes = plt.subplots(figsize=(6.4, 1.8))
    left = 0.0
    rows: Sequence[tuple[str, float, float]] = table["rows"]
    for name, _, cost_ms in rows:
        axes.barh([""], [cost_ms], left=left, label=f"{name} {cost_ms:.2f}")
        left += cost_ms
    axes.set_xlabel("processor time of the gateway, ms a frame")
    axes.legend(fontsize=7, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.5))
    save(figure, path)


def draw_seconds(table: Mapping[str, Any], path: Path) -> None:
    """What a cluster granted and inferred, second by second."""
    second, *others = range(len(table["columns"]))
    figure, axes = plt.subplots(figsize=(6.4, 3.6))
    for column in others:
        label = table["columns"][column]
        axes.plot([row[second] for row in table["rows"]], [row[column] for row in table["rows"]], label=label)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("virtual time, s")
    axes.set_ylabel("frames/s, or cameras")
    axes.set_title(table["title"], fontsize=9)
    axes.legend(fontsize=7)
    save(figure, path)


def save(figure: Any, path: Path) -> None:  # noqa: ANN401 - matplotlib's figure
    """Write a drawing that is the same whenever its figures are."""
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


main(Path(sys.argv[1]), Path(sys.argv[2]))
