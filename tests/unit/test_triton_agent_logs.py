"""Log lines, the agent's own and tritonserver's."""

import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from triton_agent.logs import Level, Log, parse_triton

NOON = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)


def written(form="json", threshold=Level.INFO):
    stream = io.StringIO()
    return Log(form, threshold, stream, lambda: NOON), stream


def test_an_event_has_the_fields_of_the_project_and_its_own():
    log, stream = written()
    log.warning("starting tritonserver again", delay_s=0.1)
    assert json.loads(stream.getvalue()) == {
        "timestamp": "2026-01-31T12:00:00.123Z",
        "level": "warn",
        "service": "ruth-ai-runtime",
        "message": "starting tritonserver again",
        "delay_s": 0.1,
    }


def test_people_can_have_text():
    log, stream = written("text")
    log.info("tritonserver is ready", seconds=0.5)
    assert stream.getvalue() == "2026-01-31T12:00:00.123Z INFO  tritonserver is ready seconds=0.5\n"


def test_events_below_the_level_are_left_out():
    log = Log.from_environment({"RUTH_AI_LOG_LEVEL": "warn"})
    log._stream = io.StringIO()
    log.info("nothing")
    assert log._stream.getvalue() == ""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            """I1121 01:18:03.262369 8569 model_lifecycle.cc:839] "successfully loaded 'yolox'"\n""",
            (Level.INFO, "model_lifecycle.cc:839", "successfully loaded 'yolox'"),
        ),
        (
            r'E1121 01:18:03.262369 8569 pb_stub.cc:366] "Failed\nat line \"1\""',
            (Level.ERROR, "pb_stub.cc:366", 'Failed\nat line "1"'),
        ),
        (
            "W0101 23:59:59.000001 1 metrics.cc:798] DCGM unable to start",
            (Level.WARN, "metrics.cc:798", "DCGM unable to start"),
        ),
        ("| yolox | 1 | READY |", (Level.INFO, None, "| yolox | 1 | READY |")),
        ("", (Level.INFO, None, "")),
    ],
)
def test_a_line_of_tritonserver_is_taken_apart(line, expected):
    assert parse_triton(line) == expected


@given(st.text())
def test_whatever_tritonserver_prints_becomes_one_line_of_json(text):
    log, stream = written()
    log.triton(text)
    assert stream.getvalue().count("\n") <= 1
    assert not stream.getvalue() or json.loads(stream.getvalue())["service"] == "ruth-ai-runtime"


def test_what_triton_says_of_a_missing_gpu_is_no_error():
    log, stream = written()
    level, _ = log.triton('E1121 01:18:03.262369 85 cuda_utils.cc:1] "CudaDriverHelper has not been initialized."')
    assert (level, stream.getvalue()) == (Level.DEBUG, "")
