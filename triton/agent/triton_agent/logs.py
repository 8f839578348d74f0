"""Log lines on standard output: JSON with the project's fields, or text for people; tritonserver's lines folded in."""

import contextlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import IntEnum
from typing import TextIO

SERVICE = "ruth-ai-runtime"
TRITON_LINE = re.compile(r"^([IWEFV])\d{4} \d\d:\d\d:\d\d\.\d+ \d+ (\S+?:\d+)\] (.*)$", re.DOTALL)
HARMLESS = "CudaDriverHelper has not been initialized"  # said as an error wherever there is no GPU


class Level(IntEnum):
    """Severity, in the project's four steps."""

    DEBUG = 0
    INFO = 1
    WARN = 2
    ERROR = 3


TRITON_LEVELS = {"V": Level.DEBUG, "I": Level.INFO, "W": Level.WARN, "E": Level.ERROR, "F": Level.ERROR}


class Log:
    """Writes one line for each event, flushed at once.

    Args:
        form: `json` or `text`.
        threshold: Events below it are left out.
        stream: Where lines go; standard output by default.
        now: The clock, aware.
    """

    def __init__(
        self,
        form: str = "json",
        threshold: Level = Level.INFO,
        stream: TextIO | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._render = _as_text if form == "text" else _as_json
        self._threshold = threshold
        self._stream = stream
        self._now = now

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> "Log":
        """A log as `RUTH_AI_LOG_FORMAT` and `RUTH_AI_LOG_LEVEL` ask for; unknown values mean the defaults."""
        threshold = Level.__members__.get(env.get("RUTH_AI_LOG_LEVEL", "info").upper(), Level.INFO)
        return cls(env.get("RUTH_AI_LOG_FORMAT", "json"), threshold)

    def debug(self, message: str, **fields: object) -> None:
        """Write what only a developer wants to read."""
        self.write(Level.DEBUG, message, **fields)

    def info(self, message: str, **fields: object) -> None:
        """Write a normal event."""
        self.write(Level.INFO, message, **fields)

    def warning(self, message: str, **fields: object) -> None:
        """Write something that is recovered from."""
        self.write(Level.WARN, message, **fields)

    def error(self, message: str, **fields: object) -> None:
        """Write something that needs a person."""
        self.write(Level.ERROR, message, **fields)

    def write(self, level: Level, message: str, **fields: object) -> None:
        """Write one event; further fields follow the standard ones."""
        if level < self._threshold:
            return
        stamp = self._now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        stream = self._stream or sys.stdout
        with contextlib.suppress(BrokenPipeError):  # nobody reads any more: no reason to stop serving
            stream.write(self._render(stamp, level, message, fields) + "\n")
            stream.flush()

    def triton(self, line: str) -> tuple[Level, str]:
        """Write a line of tritonserver's; returns its level and its message without Triton's prefix and quotes."""
        level, source, message = parse_triton(line)
        if message.startswith(HARMLESS):
            level = Level.DEBUG
        if message.strip("+-"):  # not the borders of its tables
            self.write(level, message, component="tritonserver", **({"source": source} if source else {}))
        return level, message


def parse_triton(line: str) -> tuple[Level, str | None, str]:
    """Take a line of tritonserver apart: level, `file:line` of its source, message.

    A line without Triton's prefix (a table, a traceback of a Python model) is information as it stands.
    """
    match = TRITON_LINE.match(line.rstrip("\n"))
    if not match:
        return Level.INFO, None, line.rstrip()
    letter, source, message = match.groups()
    if message.startswith('"'):
        try:
            message = str(json.loads(message))
        except json.JSONDecodeError:
            message = message.strip('"')
    return TRITON_LEVELS[letter], source, message.rstrip()


def _as_json(stamp: str, level: Level, message: str, fields: Mapping[str, object]) -> str:
    standard: dict[str, object] = {
        "timestamp": stamp,
        "level": level.name.lower(),
        "service": SERVICE,
        "message": message,
    }
    return json.dumps({**standard, **fields}, default=str, ensure_ascii=False)


def _as_text(stamp: str, level: Level, message: str, fields: Mapping[str, object]) -> str:
    details = "".join(f" {key}={value}" for key, value in fields.items() if key != "source")
    return f"{stamp} {level.name:5} {message}{details}"
