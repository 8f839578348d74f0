"""Verbs of `ruth-convert`, a module each: its help, its options, and what it answers. `cli` prints the answer.

A module has `HELP` (one line), `add(sub)` (its options) and `run(parsed, report)` (an `Answer`), and imports what is
heavy inside `run`, so that `--help` stays quick.
"""

import argparse
from typing import Protocol

from converters.verbs import catalog, diff, evaluate, inspect, rollback, targets, tensorrt, tune
from converters.verbs.answer import Answer, Report

__all__ = ["VERBS", "Answer", "Report", "Verb"]


class Verb(Protocol):
    """What a module of this package offers."""

    @property
    def HELP(self) -> str:  # noqa: N802  # a module's constant
        """One line of help."""
        ...

    def add(self, sub: argparse.ArgumentParser, /) -> None:
        """Add its options; `--json` is there already."""
        ...

    def run(self, parsed: argparse.Namespace, report: Report, /) -> Answer:
        """Do it.

        Raises:
            ConvertError: It can't be done; `cli` prints the message and ends with its exit status.
        """
        ...


VERBS: dict[str, Verb] = {
    "inspect": inspect,
    "rollback": rollback,
    "diff": diff,
    "evaluate": evaluate,
    "tune": tune,
    "catalog": catalog,
    "targets": targets,
    "tensorrt": tensorrt,
}
