"""Which frame goes to which runtime, and when: a pure state machine driven by (time, event)."""

from gateway.scheduler.core import Dispatch, Drop, DropCause, Scheduler
from gateway.scheduler.grants import Grant, SubscriptionKey

__all__ = ["Dispatch", "Drop", "DropCause", "Grant", "Scheduler", "SubscriptionKey"]
