"""What the gateway counts and measures, for Prometheus.

Only what happens is counted here; what *is* (camera states, queue lengths, component health) is read when Prometheus
asks, see `gateway.api.metrics`, so that it can't go stale.
"""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway.tally import CountTally, HistogramTally

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """The counters of one gateway, in a registry of their own.

    What happens to every frame is counted from the event loop alone; all else may be from any thread, and costs a few
    microseconds.

    Attributes:
        registry: What these metrics are registered with.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._frames_dispatched = CountTally("ruth_ai_frames_dispatched", "Frames sent to a runtime.", "camera_id")
        self._frames_dropped = self._counter("frames_dropped", "Frames dropped, by cause.", "camera_id", "reason")
        self._violations = self._counter("violations_created", "Violations detected.", "camera_id", "type")
        self._events = self._counter("events_created", "Events written to the outbox.", "camera_id", "event_type")
        self._requests = CountTally("ruth_ai_inference_requests", "Frames sent to a model.", "model_id")
        self._errors = self._counter("inference_errors", "Frames without an answer.", "model_id", "error_type")
        self._retries = self._counter("inference_retries", "Frames sent again, to another runtime.", "model_id")
        self._latency = HistogramTally(
            "ruth_ai_inference_latency_seconds",
            "From sending a frame to its detections.",
            LATENCY_BUCKETS_S,
            "model_id",
        )
        self._frame_age = HistogramTally(
            "ruth_ai_frame_age_seconds", "From a frame's arrival to the rules' verdict on it.", LATENCY_BUCKETS_S
        )
        for tally in (self._frames_dispatched, self._requests, self._latency, self._frame_age):
            self.registry.register(tally)
        self._vas_requests = self._counter("vas_api_requests", "Requests to the VAS.", "endpoint", "status")
        self._vas_latency = Histogram(
            "ruth_ai_vas_api_latency_seconds",
            "From a request to the VAS to its whole answer.",
            ["endpoint"],
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._evidence_deleted = self._counter("evidence_deleted", "Violations whose evidence was deleted.", "reason")
        self._mqtt_sent = self._counter("mqtt_events_sent", "Events that the MQTT broker has acknowledged.")
        self._mqtt_failures = self._counter("mqtt_failures", "Connections to the MQTT broker that failed or broke.")
        self._events_trimmed = self._counter("events_trimmed", "Events that can't be replayed any more.")
        self._moves = self._counter("camera_moves", "Cameras taken, released and lost by this replica.", "change")
        self._held = Gauge("ruth_ai_cameras_held", "Cameras that this replica has.", registry=self.registry)
        self._replicas = Gauge("ruth_ai_replicas", "Replicas that live.", registry=self.registry)
        self._spool = Gauge(
            "ruth_ai_spool_depth", "Records that the database doesn't have yet.", registry=self.registry
        )

    def frame_dispatched(self, camera_id: str, model_id: str) -> None:
        """A frame went to a runtime."""
        self._frames_dispatched.inc(camera_id)
        self.inference_requested(model_id)

    def frame_dropped(self, camera_id: str, reason: str) -> None:
        """A frame was given up before its verdict; `reason` is one of a fixed set of causes."""
        self._frames_dropped.labels(camera_id, reason).inc()

    def inference_requested(self, model_id: str) -> None:
        """A picture, of a camera or not, goes to a model."""
        self._requests.inc(model_id)

    def inference_retried(self, model_id: str) -> None:
        """A frame whose runtime went away is sent to another one."""
        self._retries.labels(model_id).inc()

    def inference_succeeded(self, model_id: str, latency_s: float) -> None:
        """Detections came back."""
        self._latency.observe(latency_s, model_id)

    def inference_failed(self, model_id: str, error: BaseException) -> None:
        """No detections came back; counted by the error's class."""
        self._errors.labels(model_id, type(error).__name__).inc()

    def frame_judged(self, age_s: float) -> None:
        """The rules gave their verdict on a frame that arrived `age_s` ago."""
        self._frame_age.observe(age_s)

    def violation_created(self, camera_id: str, rule_type: str) -> None:
        """A violation was detected and is durable."""
        self._violations.labels(camera_id, rule_type).inc()

    def event_created(self, camera_id: str, event_type: str) -> None:
        """An event was written to the outbox."""
        self._events.labels(camera_id, event_type).inc()

    def vas_requested(self, endpoint: str, status: str, latency_s: float) -> None:
        """The VAS answered with a status, or could not be reached."""
        self._vas_requests.labels(endpoint, status).inc()
        self._vas_latency.labels(endpoint).observe(latency_s)

    def evidence_deleted(self, reason: str, violations: int) -> None:
        """Evidence went; `reason` is `age`, `count` or `disk`."""
        self._evidence_deleted.labels(reason).inc(violations)

    def events_trimmed(self, events: int) -> None:
        """Old events left the outbox."""
        self._events_trimmed.inc(events)

    def mqtt_sent(self) -> None:
        """The MQTT broker has an event."""
        self._mqtt_sent.inc()

    def mqtt_failed(self) -> None:
        """A connection to the MQTT broker failed or broke."""
        self._mqtt_failures.inc()

    def watch_spool(self, depth: Callable[[], int]) -> None:
        """Ask `depth`, at each scrape, how many records wait for the database."""
        self._spool.set_function(depth)

    def camera_moved(self, change: str) -> None:
        """A camera was `taken`, `released` or `lost` by this replica."""
        self._moves.labels(change).inc()

    def watch_ownership(self, held: Callable[[], int], replicas: Callable[[], int]) -> None:
        """Ask, at each scrape, how many cameras this replica has, and how many replicas live."""
        self._held.set_function(held)
        self._replicas.set_function(replicas)

    def forget_camera(self, camera_id: str) -> None:
        """Drop every series of a camera that is gone, so that their number doesn't grow for ever."""
        self._frames_dispatched.forget(camera_id)
        for metric in self._by_camera:
            metric.remove_by_labels({"camera_id": camera_id})

    @property
    def _by_camera(self) -> Sequence[Counter]:
        return self._frames_dropped, self._violations, self._events

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"ruth_ai_{name}", documentation, labels, registry=self.registry)
