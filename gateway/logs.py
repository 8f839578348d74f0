"""Structured logs: one line per event on stdout, traceable to a request, free of credentials.

Extra fields go through `extra=`: `logger.info("Violation created", extra={"camera_id": camera.id})`.
"""

import datetime as dt
import json
import logging
import math
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from enum import StrEnum
from typing import NamedTuple, TextIO

from gateway.errors import ConfigurationError
from gateway.masking import MASK, mask_secrets, names_a_secret

SERVICE = "ruth-ai-backend"

LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}

_LEVEL_NAMES = {value: name for name, value in LEVELS.items()} | {logging.CRITICAL: "error"}
_SILENCED = ("uvicorn.access", "uvicorn.error", "piccolo", "httpx", "aiosqlite")
"""Of which only what goes wrong is logged, see `configure_logging`."""

_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class LogFormat(StrEnum):
    """How a log line is written (`RUTH_AI_LOG_FORMAT`)."""

    JSON = "json"
    TEXT = "text"


class Trace(NamedTuple):
    """Where a log line belongs in a distributed trace, as lower-case hexadecimal of W3C Trace Context.

    Attributes:
        trace_id: 32 digits, common to everything one request caused.
        span_id: 16 digits, this service's part of it.
    """

    trace_id: str
    span_id: str

    @classmethod
    def start(cls, trace_id: str | None = None) -> "Trace":
        """A new span, in a given trace or in one of its own."""
        return cls(trace_id or secrets.token_hex(16), secrets.token_hex(8))


current_trace: ContextVar[Trace | None] = ContextVar("current_trace", default=None)
"""The trace of the request or task that runs now; None outside of any."""


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object in ASCII; a field that isn't known is left out, never null."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record with its extra fields, its trace and its traceback."""
        line: dict[str, object] = {
            "timestamp": _timestamp(record),
            "level": _level_name(record),
            "service": SERVICE,
        }
        if trace := current_trace.get():
            line |= trace._asdict()
        line["logger"] = record.name
        line["message"] = mask_secrets(record.getMessage())
        line |= {key: value for key, value in _extra_fields(record) if key not in line}
        if failure := _failure(self, record):
            line["exception"] = failure
        return json.dumps(line, separators=(",", ":"))


class TextFormatter(logging.Formatter):
    """Writes a record for people: time, level, logger, message and the extra fields as `key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record on one line, and its traceback on the next ones."""
        fields = "".join(f" {key}={value}" for key, value in _extra_fields(record))
        message = mask_secrets(record.getMessage())
        line = f"{_timestamp(record)} {_level_name(record):5} {record.name}: {message}{fields}"
        failure = _failure(self, record)
        text = f"{line}\n{failure}" if failure else line
        return text.encode(errors="backslashreplace").decode()  # file names may hold what no terminal can show


def configure_logging(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Send every logger of the process to one stream, in one format.

    Uvicorn's and Litestar's own handlers are taken away, so that their records come the same way; those of uvicorn,
    httpx, Piccolo and aiosqlite below `warn` are left out: our own say as much, probes would flood the access log, and
    aiosqlite writes every statement with its values, secrets among them. Start uvicorn with `log_config=None`,
    otherwise it puts its handlers back.

    Args:
        level: `debug`, `info`, `warn` or `error`.
        log_format: `json` or `text`.
        stream: Where to; stdout when None.

    Raises:
        ConfigurationError: The level or the format isn't one of those.
    """
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(_formatter(log_format))
    if level not in LEVELS:
        raise ConfigurationError(f"log level {level!r} is unknown; take one of {', '.join(LEVELS)}")
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(LEVELS[level])
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "litestar"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def _formatter(log_format: str) -> logging.Formatter:
    formatters = {LogFormat.JSON.value: JsonFormatter, LogFormat.TEXT.value: TextFormatter}
    if log_format not in formatters:
        raise ConfigurationError(f"log format {log_format!r} is unknown; take one of {', '.join(formatters)}")
    return formatters[log_format]()


def _timestamp(record: logging.LogRecord) -> str:
    """RFC 3339 UTC in milliseconds, with `Z`."""
    time = dt.datetime.fromtimestamp(record.created, dt.UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _level_name(record: logging.LogRecord) -> str:
    return _LEVEL_NAMES.get(record.levelno) or record.levelname.lower()


def _extra_fields(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    """Yield what was passed as `extra`, made plain and masked."""
    for key, value in vars(record).items():
        if key not in _STANDARD_ATTRIBUTES and value is not None:
            yield key, _plain(key, value)


def _plain(key: str, value: object) -> object:
    """What JSON can carry of a value, without credentials."""
    if names_a_secret(key):
        return MASK
    match value:
        case bool() | int() | None:
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping():
            return {str(name): _plain(str(name), item) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(key, item) for item in value]
        case dt.datetime():
            return value.isoformat()
        case _:
            return mask_secrets(str(value))


def _failure(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """The traceback and stack of a record, masked; empty when there is none."""
    parts = [formatter.formatException(record.exc_info)] if record.exc_info else []
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return mask_secrets("\n".join(parts))
