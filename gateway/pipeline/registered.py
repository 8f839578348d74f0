"""One runtime as it declared itself, and how it is doing."""

import asyncio
import datetime as dt
from dataclasses import dataclass, field

from gateway.domain.capability import Capability, RuntimeLimits
from gateway.domain.runtime import Drainage, RuntimeEntry, RuntimeState, RuntimeStatus
from gateway.inference import TritonRuntime
from gateway.pipeline.guarded import GuardedRuntime
from gateway.pipeline.watched import WatchedRuntime


@dataclass(slots=True, eq=False)
class Registered:
    """A runtime as it declared itself last, and the way to it.

    Attributes:
        capability: As declared.
        allowed: What the adaptation table makes of that.
        heartbeat_s: When it declared itself last (monotonic).
        heartbeat_at: The same for records.
        guarded: Where its frames go.
        watched: What is seen of it.
        tasks: What runs for it until it is forgotten.
        drainage: What an operator decided of it.
        leaving: Whether it has said goodbye, and only answers are awaited.
    """

    capability: Capability
    allowed: RuntimeLimits
    heartbeat_s: float
    heartbeat_at: dt.datetime
    guarded: GuardedRuntime = field(init=False)
    watched: WatchedRuntime = field(init=False)
    tasks: "tuple[asyncio.Task[None], ...]" = ()
    drainage: Drainage = field(default_factory=Drainage)
    leaving: bool = False

    @property
    def connection(self) -> TritonRuntime:
        """The connection behind the breakers."""
        return self.guarded.connection

    @property
    def limits(self) -> RuntimeLimits:
        """What the scheduler keeps to: what is allowed, corrected downwards by what is seen."""
        return self.watched.limits

    @property
    def ready(self) -> bool:
        """Whether frames may go to it."""
        return self.guarded.ready and not self.drainage.draining and not self.leaving

    def entry(self, now_s: float) -> RuntimeEntry:
        """What other replicas are told of it."""
        age_s = max(0.0, now_s - self.heartbeat_s)
        return RuntimeEntry(capability=self.capability, age_s=age_s, drainage=self.drainage)

    def status(self, in_flight: int, window: int) -> RuntimeStatus:
        """How the runtime is doing, with `in_flight` of `window` frames on their way to it."""
        state, reason = self.guarded.state, self.guarded.reason
        if self.guarded.ready and not self.ready:
            state = RuntimeState.DRAINING
            reason = "it is shutting down" if self.leaving else "an operator drains it"
        return RuntimeStatus(
            capability=self.capability,
            limits=self.limits,
            correction=self.watched.correction.reason,
            load=self.watched.load,
            state=state,
            reason=reason,
            breaker=self.guarded.breaker.state,
            held_models=self.guarded.held_models,
            transport=self.connection.transport,
            transport_reason=self.connection.transport_reason,
            in_flight=in_flight,
            window=window,
            latency_ms=self.connection.latency_ms,
            last_heartbeat_at=self.heartbeat_at,
        )
