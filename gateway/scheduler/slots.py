"""A camera and model with its newest-frame slot, and what becomes of a frame."""

from enum import StrEnum

import msgspec

from gateway.domain.frame import Frame
from gateway.scheduler.grants import Grant

UNPLACED = "not placed yet"

SubscriptionKey = tuple[str, str]
"""Camera id and model name."""


class DropCause(StrEnum):
    """Why a frame that was due never became detections."""

    REPLACED = "replaced"
    EXPIRED = "expired"
    NO_RUNTIME = "no_runtime"
    STOPPED = "stopped"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    REJECTED = "rejected"
    NOT_DURABLE = "not_durable"
    NOT_OWNED = "not_owned"


class Drop(msgspec.Struct, frozen=True):
    """A frame that won't be inferred."""

    key: SubscriptionKey
    frame_index: int
    cause: DropCause


class Dispatch(msgspec.Struct, frozen=True, eq=False):
    """A frame that is to be sent now.

    Attributes:
        key: Whose frame.
        frame: The frame.
        runtime_id: Where to.
        offered_s: When it was offered (monotonic seconds).
        deadline_s: When its answer is worth nothing any more (monotonic seconds).
    """

    key: SubscriptionKey
    frame: Frame
    runtime_id: str
    offered_s: float
    deadline_s: float


class Subscription:
    """What one camera asks of one model, what it gets, and the frame that waits.

    Attributes:
        key: Camera id and model name.
        model: The model name alone.
        wanted_fps: Frames per second asked for.
        weight: Its part when frames/s are short, in proportion to the others'.
        grant: What it gets.
        runtime_id: Where its frames go; None while nowhere.
        placed_s: Since when (monotonic seconds).
        frame: The frame that waits; None when none does.
        offered_s: When that frame was offered.
        deadline_s: Virtual deadline of that frame: the most urgent goes first.
        in_flight: Its frame that is on the way.
        ticket: Number of the heap entry that speaks for the slot; others are stale.
    """

    __slots__ = (
        "deadline_s",
        "frame",
        "grant",
        "in_flight",
        "key",
        "model",
        "offered_s",
        "placed_s",
        "runtime_id",
        "ticket",
        "wanted_fps",
        "weight",
    )

    def __init__(self, key: SubscriptionKey, wanted_fps: float, weight: int) -> None:
        self.key = key
        self.model = key[1]
        self.wanted_fps = wanted_fps
        self.weight = weight
        self.grant = Grant(wanted_fps, 0.0, UNPLACED)
        self.runtime_id: str | None = None
        self.placed_s = 0.0
        self.frame: Frame | None = None
        self.offered_s = 0.0
        self.deadline_s = 0.0
        self.in_flight: Dispatch | None = None
        self.ticket = 0

    def advance_deadline(self, now_s: float) -> None:
        """One period further, within a period of now: neither idleness nor idle capacity used is remembered longer."""
        period_s = 1 / self.grant.granted_fps
        start_s = min(max(self.deadline_s, now_s - period_s), now_s + period_s)
        self.deadline_s = start_s + period_s

    def waited_too_long(self, timeout_s: float, now_s: float) -> bool:
        """Whether its frame shows what was a period ago, and its answer would be late had it been sent at once.

        A camera that gets one frame in a second may wait for its turn longer than an inference may take: were frames
        dropped for that, cameras would get less than their grants wherever these use a runtime up.
        """
        waited_s = now_s - self.offered_s
        return waited_s >= timeout_s and waited_s * self.grant.granted_fps >= 1
