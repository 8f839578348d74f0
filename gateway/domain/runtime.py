"""A registered runtime and its models, as the gateway sees them now."""

import datetime as dt
from enum import StrEnum
from typing import Annotated

import msgspec

from gateway.domain.breaker import BreakerState
from gateway.domain.capability import Capability, RuntimeLimits
from gateway.domain.load import RuntimeLoad
from gateway.domain.model import ModelContract


class RuntimeState(StrEnum):
    """Whether frames may go to a runtime."""

    CONNECTING = "connecting"
    READY = "ready"
    DRAINING = "draining"
    UNAVAILABLE = "unavailable"


class Transport(StrEnum):
    """How frames travel to a runtime."""

    SYSTEM_SHARED_MEMORY = "system_shared_memory"
    INLINE = "inline"


class RuntimeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a runtime is doing now.

    Attributes:
        capability: What it declared last.
        limits: What the adaptation table makes of it, corrected downwards by what the runtime is seen to do.
        correction: Why less is asked of it than it declares; empty when not.
        load: What it did in the last two seconds; None where that isn't known.
        state: Whether frames may go to it.
        reason: Why not, in words for a person; empty while ready.
        breaker: Whether failures keep frames from it.
        held_models: Models that are loaded but fail, and why: they get no frames until a try is answered.
        transport: How frames travel to it; None before the first connection.
        transport_reason: Why frames travel inline, where they do.
        in_flight: Frames on their way now.
        window: How many may be.
        latency_ms: Smoothed time from sending a frame to its detections; None before the first.
        last_heartbeat_at: When it declared itself last.
    """

    capability: Capability
    limits: RuntimeLimits
    correction: str = ""
    load: RuntimeLoad | None = None
    state: RuntimeState
    reason: str = ""
    breaker: BreakerState = BreakerState.CLOSED
    held_models: dict[str, str] = {}
    transport: Transport | None = None
    transport_reason: str = ""
    in_flight: int = 0
    window: int = 0
    latency_ms: float | None = None
    last_heartbeat_at: dt.datetime


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A model over all runtimes.

    Attributes:
        name: Triton's name.
        loaded_on: Runtimes on which it answers.
        available_on: Runtimes that have it in their repository.
        contract: What scheduling needs; None where no runtime has told yet, or it declares none.
        reason: Why frames can't be scheduled to it; empty when they can.
    """

    name: str
    loaded_on: tuple[str, ...] = ()
    available_on: tuple[str, ...] = ()
    contract: ModelContract | None = None
    reason: str = ""


class Drainage(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator decided of a runtime.

    Attributes:
        draining: Whether no more frames are to go there.
        decided_at: When; of two decisions the newer one counts.
    """

    draining: bool = False
    decided_at: Annotated[dt.datetime, msgspec.Meta(tz=True)] = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

    def newer(self, other: "Drainage") -> "Drainage":
        """The one that counts, whichever is asked of the other."""
        return max(self, other, key=lambda each: (each.decided_at, each.draining))


class RuntimeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What one replica of the gateway tells the others of a runtime. Holds no secret.

    Attributes:
        capability: What the runtime declared.
        age_s: How long ago, in seconds.
        drainage: What an operator decided of it.
    """

    capability: Capability
    age_s: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 0.0
    drainage: Drainage = Drainage()
