"""What a part of the benchmark is given, and what it gives back.

A part is a module in `parts/`: the first line of its docstring is its title, and `measure(bench)` yields tables and
goals as they are known. `scripts/bench NAME` runs the part `NAME`; there is nothing to register.
"""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

CHECKOUT = Path(__file__).resolve().parents[2]
Cell = str | float | int | None


@dataclass(frozen=True, slots=True)
class Bench:
    """One run of the benchmark.

    Attributes:
        quick: Measure once and shortly: to see that it works, not for figures to keep.
        folder: Where models, clips, environments and logs of the benchmark lie; kept between runs.
        data: The test data.
        peers: Whether peers' packages may be installed and measured.
    """

    quick: bool
    folder: Path
    data: Path
    peers: bool = True

    @property
    def repeats(self) -> int:
        """How often each figure is measured; its median counts."""
        return 1 if self.quick else 3

    @property
    def seconds(self) -> float:
        """How long one measurement lasts."""
        return 4.0 if self.quick else 12.0


@dataclass(frozen=True, slots=True)
class Table:
    """Figures side by side; each row has a cell for each column, None for what can't be said."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure to reach, and what was seen."""

    text: str
    wanted: str
    seen: str
    reached: bool


class Part(Protocol):
    """A module in `parts/`."""

    __doc__: str | None

    def measure(self, bench: Bench) -> Iterator[Table | Goal]:
        """Measure."""
        ...


def parts() -> Mapping[str, Path]:
    """The module of each part, by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "parts").glob("*.py"))}


def load(name: str) -> Part:
    """Import a part; only what is run is imported."""
    return cast("Part", importlib.import_module(f"parts.{name}"))


def title(path: Path) -> str:
    """The first line of a part's docstring, without importing it."""
    return path.read_text(encoding="utf-8").split("\n", 1)[0].strip('"').rstrip(".")
