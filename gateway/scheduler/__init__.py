"""Which frame goes to which runtime, and when: a pure state machine driven by (time, event)."""

from gateway.scheduler.core import Scheduler, Settlement
from gateway.scheduler.grants import Grant
from gateway.scheduler.slots import Dispatch, Drop, DropCause, SubscriptionKey

__all__ = ["Dispatch", "Drop", "DropCause", "Grant", "Scheduler", "Settlement", "SubscriptionKey"]
