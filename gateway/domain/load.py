"""What a runtime did lately, and what that makes of its limits."""

from collections import deque
from collections.abc import Mapping

import msgspec

from gateway.domain.capability import RuntimeLimits


class ModelCounters(msgspec.Struct, frozen=True, kw_only=True):
    """What one model has done since the server loaded it, as the server counts.

    Attributes:
        instances: Executions that may run at once.
        requests: Requests answered.
        inferences: Frames in them.
        queue_s: Time that requests waited, summed up.
        compute_s: Time that requests were computed, summed up; each request of a batch counts the whole.
        busy_s: Time that executions took, summed up.
    """

    instances: int = 1
    requests: int = 0
    inferences: int = 0
    queue_s: float = 0.0
    compute_s: float = 0.0
    busy_s: float = 0.0


class RuntimeCounters(msgspec.Struct, frozen=True, kw_only=True):
    """What has happened at one runtime until `at_s` (monotonic).

    Attributes:
        at_s: When it was asked.
        models: By name and version.
        refused: Requests that found a full queue, or waited too long in it; None while that isn't known.
        pending: Requests that wait now.
        answered: This gateway's frames that were answered.
        late: This gateway's frames that had no answer in time.
    """

    at_s: float
    models: Mapping[tuple[str, str], ModelCounters]
    refused: int | None = 0
    pending: int = 0
    answered: int = 0
    late: int = 0


class RuntimeLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What a runtime did between two looks.

    Attributes:
        fps: Frames/s that it inferred for anybody.
        answered_fps: Frames/s that it answered to this gateway.
        utilization: Share of the time in which the busiest model's instances computed, from 0 to 1.
        queue_ms: Mean wait of a request.
        compute_ms: Mean time that a request was computed.
        pending: Requests that waited at the end.
        refused: Requests that the server refused for want of time or room.
        late_share: Share of this gateway's frames that had no answer in time, from 0 to 1.
    """

    fps: float
    answered_fps: float
    utilization: float
    queue_ms: float
    compute_ms: float
    pending: int = 0
    refused: int = 0
    late_share: float = 0.0


def load_between(before: RuntimeCounters, after: RuntimeCounters) -> RuntimeLoad | None:
    """The difference of two looks, without models loaded anew in between, which count from 0; None: none."""
    seconds = after.at_s - before.at_s
    refused = 0 if before.refused is None or after.refused is None else after.refused - before.refused
    if seconds <= 0 or refused < 0:
        return None
    answered, late = after.answered - before.answered, after.late - before.late
    requests, inferences, queue_s, compute_s, utilization = 0, 0, 0.0, 0.0, 0.0
    for key, now in after.models.items():
        then = before.models.get(key)
        if then is None or now.requests < then.requests:
            continue
        requests += now.requests - then.requests
        inferences += now.inferences - then.inferences
        queue_s += now.queue_s - then.queue_s
        compute_s += now.compute_s - then.compute_s
        utilization = max(utilization, (now.busy_s - then.busy_s) / (seconds * now.instances))
    return RuntimeLoad(
        fps=inferences / seconds,
        answered_fps=answered / seconds,
        utilization=min(1.0, max(0.0, utilization)),
        queue_ms=1000 * queue_s / requests if requests else 0.0,
        compute_ms=1000 * compute_s / requests if requests else 0.0,
        pending=after.pending,
        refused=refused,
        late_share=late / (answered + late) if late else 0.0,
    )


BUSY, CALM = 0.85, 0.7
LATE_SHARE = 0.05
LOOKS_TO_CUT, LOOKS_TO_RAISE, LOOKS_TO_PROBE = 2, 3, 20
DEAD_BAND = 0.9
RAISE = 0.1
LEAST_FPS = 1.0


class LimitCorrection:
    """Keeps a runtime's frames/s at what it is seen to do, never above what it may be asked for.

    A runtime can't do more when it computes nearly all the time (`BUSY`), refuses requests, or leaves `LATE_SHARE` of
    this gateway's frames without an answer in time. `LOOKS_TO_CUT` such looks, and a limit clearly above what was
    answered, bring it down to the best of them; without being busy, which may pass, to half at most. `LOOKS_TO_RAISE`
    looks in a row at a runtime with time to spare (`CALM`) let it rise by a tenth of the whole each, and double at
    most. One that answers all it is asked for, `LOOKS_TO_PROBE` looks in a row, is asked for a tenth more, or what
    a bad moment took would be held back for good; one that answers clearly more, as clips at full speed take what there
    is, has shown what it can do. In between nothing changes, so that noise moves nothing.

    Attributes:
        reason: Why less is asked for than allowed, in words for a person; empty when not.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._max_fps: float | None = None
        self._overloaded: deque[RuntimeLoad] = deque(maxlen=LOOKS_TO_CUT)
        self._calm = 0
        self._held_back = 0

    def observe(self, load: RuntimeLoad, allowed: RuntimeLimits) -> None:
        """Take one look into account."""
        overload = _overload(load)
        self._calm = self._calm + 1 if not overload and load.utilization < CALM else 0
        if overload:
            self._overloaded.append(load)
        elif self._calm:
            self._overloaded.clear()
        if self._in_time(load) and load.answered_fps * DEAD_BAND > self._fps(allowed):
            self._set(load.answered_fps, allowed, self.reason)
        now_fps = self._fps(allowed)
        if overload and len(self._overloaded) == LOOKS_TO_CUT:
            seen_fps = max(map(_capacity_fps, self._overloaded))
            least_fps = min(LEAST_FPS, allowed.max_fps)
            floor_fps = least_fps if load.utilization >= BUSY else max(least_fps, now_fps / 2)
            if seen_fps < now_fps * DEAD_BAND:
                self._set(max(seen_fps, floor_fps), allowed, overload)
                self._held_back = 0
        elif self._calm >= LOOKS_TO_RAISE and self._max_fps is not None:
            self._set(min(2 * now_fps, now_fps + RAISE * allowed.max_fps), allowed, self.reason)
        self._held_back = self._held_back + 1 if self._holds_back(load, now_fps) else 0
        if self._held_back == LOOKS_TO_PROBE:
            self._set(now_fps * (1 + RAISE), allowed, self.reason)
            self._held_back = 0

    def limits(self, allowed: RuntimeLimits, largest_batch: int) -> RuntimeLimits:
        """The limits to keep to.

        Args:
            allowed: What declaration and adaptation table allow.
            largest_batch: What the loaded models take at most; 0 where none is.
        """
        max_fps = self._fps(allowed)
        return msgspec.structs.replace(
            allowed,
            max_fps=max_fps,
            max_camera_fps=min(allowed.max_camera_fps, max_fps),
            batch_size=min(allowed.batch_size, largest_batch or allowed.batch_size),
            most_fps=None if self._max_fps is None else allowed.sent_fps,
        )

    def _holds_back(self, load: RuntimeLoad, now_fps: float) -> bool:
        """Whether the limit, and not the runtime, may be what keeps it from answering more."""
        return self._max_fps is not None and self._in_time(load) and load.answered_fps >= now_fps * DEAD_BAND

    def _in_time(self, load: RuntimeLoad) -> bool:
        return not load.refused and load.late_share < LATE_SHARE

    def _fps(self, allowed: RuntimeLimits) -> float:
        return allowed.max_fps if self._max_fps is None else min(self._max_fps, allowed.max_fps)

    def _set(self, max_fps: float, allowed: RuntimeLimits, reason: str) -> None:
        whole = max_fps >= allowed.max_fps
        self._max_fps, self.reason = (None, "") if whole else (max_fps, reason)


def _capacity_fps(load: RuntimeLoad) -> float:
    """Frames/s that a runtime would answer to this gateway if it computed all the time."""
    return load.answered_fps / max(BUSY, load.utilization)


def _overload(load: RuntimeLoad) -> str:
    """What says that a runtime can't do more; empty where nothing does."""
    if load.refused:
        return f"it refused {load.refused} requests for want of time or room"
    if load.late_share >= LATE_SHARE:
        return f"{load.late_share:.0%} of the frames had no answer in time"
    if load.utilization >= BUSY:
        return f"it computes {load.utilization:.0%} of the time, {load.compute_ms:.0f} ms a request"
    return ""
