import datetime as dt
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.logs import JsonFormatter, TextFormatter, Trace, configure_logging, current_trace

logger = logging.getLogger("gateway.somewhere")


@pytest.fixture(autouse=True)
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    configure_logging("debug", "json", stream)
    yield stream
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)


def _only_line(stream: io.StringIO) -> dict[str, object]:
    (line,) = stream.getvalue().splitlines()
    return json.loads(line)


def test_a_line_has_the_fields_that_log_readers_know(stream: io.StringIO) -> None:
    logger.info("Violation created", extra={"camera_id": "gate", "confidence": 0.92})
    line = _only_line(stream)
    timestamp = str(line.pop("timestamp"))
    assert timestamp.endswith("Z")
    assert len(timestamp) == len("2026-01-13T10:30:00.123Z")
    assert abs(dt.datetime.fromisoformat(timestamp) - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)
    assert line == {
        "level": "info",
        "service": "ruth-ai-backend",
        "logger": "gateway.somewhere",
        "message": "Violation created",
        "camera_id": "gate",
        "confidence": 0.92,
    }


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (logging.DEBUG, "debug"),
        (logging.INFO, "info"),
        (logging.WARNING, "warn"),
        (logging.ERROR, "error"),
        (50, "error"),
    ],
)
def test_levels_have_the_names_of_the_settings(stream: io.StringIO, level: int, name: str) -> None:
    logger.log(level, "x")
    assert _only_line(stream)["level"] == name


def test_a_line_written_inside_a_trace_tells_it(stream: io.StringIO) -> None:
    token = current_trace.set(Trace.start("ab" * 16))
    logger.info("x")
    current_trace.reset(token)
    line = _only_line(stream)
    assert line["trace_id"] == "ab" * 16
    assert len(str(line["span_id"])) == 16


def test_nothing_unknown_is_written_as_null(stream: io.StringIO) -> None:
    logger.info("x", extra={"camera_id": None})
    assert "null" not in stream.getvalue()


def test_credentials_are_masked_in_message_arguments_fields_and_traceback(stream: io.StringIO) -> None:
    try:
        raise OSError("rtsp://admin:hunter2@cam refused")  # noqa: TRY301
    except OSError:
        logger.exception(
            "can't open %s",
            "rtsp://admin:hunter2@cam",
            extra={
                "url": "rtsp://admin:hunter2@cam",
                "nested": {"urls": ["http://h/?token=hunter2"]},
                "password": "hunter2",
            },
        )
    line = _only_line(stream)
    assert "hunter2" not in stream.getvalue()
    assert line["message"] == "can't open rtsp://admin:***@cam"
    assert line["nested"] == {"urls": ["http://h/?token=***"]}
    assert line["password"] == "***"
    assert "OSError: rtsp://admin:***@cam refused" in str(line["exception"])


def test_values_that_json_does_not_know_are_written_all_the_same() -> None:
    extra = {
        "path": Path("/a"),
        "at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        "nan": float("nan"),
        "set": {1},
        "b": b"x",
    }
    record = logging.makeLogRecord({"msg": "lone surrogate \udc80 and a\nline break", **extra})
    (text,) = JsonFormatter().format(record).splitlines()
    line = json.loads(text)
    assert (line["path"], line["at"], line["nan"], line["set"]) == ("/a", "2026-01-01T00:00:00+00:00", "nan", [1])


def test_an_extra_field_can_not_overwrite_a_standard_one(stream: io.StringIO) -> None:
    logger.info("x", extra={"level": "fake", "service": "fake", "timestamp": "fake"})
    assert "fake" not in stream.getvalue()


def test_text_is_for_people() -> None:
    stream = io.StringIO()
    configure_logging("info", "text", stream)
    logger.warning("slow %s", "rtsp://a:hunter2@cam", extra={"camera_id": "gate"})
    logger.debug("unseen")
    assert stream.getvalue().endswith(" warn  gateway.somewhere: slow rtsp://a:***@cam camera_id=gate\n")


def test_text_that_no_terminal_can_show_is_escaped() -> None:
    text = TextFormatter().format(logging.makeLogRecord({"msg": "can't open /media/\udc80.mp4"}))
    assert text.encode().endswith(rb"/media/\udc80.mp4")


def test_servers_log_the_same_way_but_only_what_goes_wrong(stream: io.StringIO) -> None:
    foreign = logging.getLogger("uvicorn.error")
    foreign.addHandler(logging.StreamHandler(io.StringIO()))
    foreign.propagate = False
    configure_logging("info", "json", stream)
    logging.getLogger("uvicorn.access").info("GET /metrics")
    foreign.info("started")
    foreign.error("can't bind")
    assert _only_line(stream)["message"] == "can't bind"


@pytest.mark.parametrize(("level", "log_format"), [("verbose", "json"), ("INFO", "json"), ("info", "xml")])
def test_an_unknown_level_or_format_is_refused_with_what_there_is(level: str, log_format: str) -> None:
    with pytest.raises(ConfigurationError, match=r"unknown; take one of (debug, info, warn, error|json, text)"):
        configure_logging(level, log_format)
