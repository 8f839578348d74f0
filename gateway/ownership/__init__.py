"""Which cameras this replica runs, among the replicas of one database."""

from gateway.ownership.control import OwnedControl
from gateway.ownership.loop import CameraOwnership

__all__ = ["CameraOwnership", "OwnedControl"]
