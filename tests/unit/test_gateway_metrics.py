from prometheus_client import generate_latest

from gateway.errors import InferenceTimeoutError
from gateway.metrics import Metrics


def _lines(metrics: Metrics) -> set[str]:
    return set(generate_latest(metrics.registry).decode().splitlines())


def test_what_happens_is_counted_under_its_labels() -> None:
    metrics = Metrics()
    metrics.frame_dispatched("gate", "people")
    metrics.frame_dropped("gate", "stale")
    metrics.frame_dropped("gate", "stale")
    metrics.inference_failed("people", InferenceTimeoutError("late"))
    metrics.frame_judged(0.03)
    metrics.violation_created("gate", "zone_presence")
    metrics.event_created("gate", "violation.opened")
    metrics.watch_spool(lambda: 3)
    assert {
        'ruth_ai_frames_dispatched_total{camera_id="gate"} 1.0',
        'ruth_ai_frames_dropped_total{camera_id="gate",reason="stale"} 2.0',
        'ruth_ai_inference_requests_total{model_id="people"} 1.0',
        'ruth_ai_inference_errors_total{error_type="InferenceTimeoutError",model_id="people"} 1.0',
        'ruth_ai_frame_age_seconds_bucket{le="0.03"} 1.0',
        'ruth_ai_violations_created_total{camera_id="gate",type="zone_presence"} 1.0',
        'ruth_ai_events_created_total{camera_id="gate",event_type="violation.opened"} 1.0',
        "ruth_ai_spool_depth 3.0",
    } <= _lines(metrics)


def test_a_camera_that_is_forgotten_leaves_no_series_and_the_others_stay() -> None:
    metrics = Metrics()
    for camera in ("gate", "yard"):
        metrics.frame_dispatched(camera, "people")
        metrics.frame_dropped(camera, "stale")
        metrics.frame_dropped(camera, "overload")
        metrics.violation_created(camera, "zone_presence")
        metrics.event_created(camera, "violation.opened")
    metrics.forget_camera("gate")
    metrics.forget_camera("never seen")
    text = generate_latest(metrics.registry).decode()
    assert "gate" not in text
    assert text.count('camera_id="yard"') >= 5


def test_two_gateways_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.watch_spool(lambda: 1)
    assert "ruth_ai_spool_depth 0.0" in _lines(other)
