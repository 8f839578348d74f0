"""Which frame goes to which runtime, and when: a pure state machine driven by (time, event)."""

from gateway.scheduler.core import Dispatch, Drop, DropCause, Scheduler, SubscriptionKey
from gateway.scheduler.grants import Demand, Grant

__all__ = ["Demand", "Dispatch", "Drop", "DropCause", "Grant", "Scheduler", "SubscriptionKey"]
