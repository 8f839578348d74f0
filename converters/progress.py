"""What a long run says of itself on stderr: stages with elapsed seconds, on a terminal how far the current one is."""

import shutil
import sys
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

Report = Callable[[str], None]
"""Told what begins, in words for a person."""

_BAR = 20
_REDRAW_S = 0.1
_CLEAR = "\r\x1b[K"


@runtime_checkable
class Advancing(Protocol):
    """A report that also takes how far the stage is that it was told of last."""

    def advance(self, share: float) -> None:
        """Take the share of the stage that is done, 0 to 1."""
        ...


class Steps:
    """Counts the steps of a stage for a report that takes them; any other hears nothing."""

    def __init__(self, report: object, total: int) -> None:
        self._report = report if isinstance(report, Advancing) else None
        self._total = max(1, total)
        self._done = 0

    def __call__(self, steps: int = 1) -> None:
        """Count steps that are done."""
        self._done += steps
        if self._report is not None:
            self._report.advance(min(1.0, self._done / self._total))


class Progress:
    """The report of the command line: a line for each stage; on a terminal the current one is live and has a bar."""

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._start = self._drawn = time.monotonic()
        self._stage: str | None = None

    def __call__(self, stage: str) -> None:
        """Say what begins."""
        self.close()
        if self._live:
            self._stage = stage
            self._draw("...")
        else:
            self._print(f"{self._line(stage)}\n")

    def advance(self, share: float) -> None:
        """Draw how far the stage is."""
        now = time.monotonic()
        if self._stage is not None and (share >= 1 or now - self._drawn >= _REDRAW_S):
            self._drawn = now
            full = round(share * _BAR)
            self._draw(f"[{'#' * full}{'.' * (_BAR - full)}] {share:4.0%}")

    def close(self) -> None:
        """Leave the whole line of the stage behind, with the time of its end."""
        if self._stage is not None:
            self._print(f"{_CLEAR}{self._line(self._stage)}\n")
        self._stage = None

    def _draw(self, state: str) -> None:
        """Write stage and state over the line, which must not grow beyond the terminal's: only its last is erased."""
        line, room = self._line(self._stage or ""), shutil.get_terminal_size().columns - len(state) - 2
        shown = line if len(line) <= room else f"{line[: max(0, room - 1)]}…"
        self._print(f"{_CLEAR}{shown} {state}")

    def _line(self, stage: str) -> str:
        return f"{time.monotonic() - self._start:6.1f} s  {stage}"

    @staticmethod
    def _print(text: str) -> None:
        print(text, file=sys.stderr, end="", flush=True)  # noqa: T201  # what stderr is for
