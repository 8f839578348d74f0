"""What a verb answers: one value for machines, lines for people, an exit status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from converters.progress import Report

__all__ = ["Answer", "Report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result of a verb.

    Attributes:
        value: The one JSON object of `--json`; dataclasses, paths and times in it are made plain.
        lines: What a person reads instead, on stdout.
        status: Exit status.
    """

    value: Mapping[str, Any]
    lines: Sequence[str]
    status: int = 0
