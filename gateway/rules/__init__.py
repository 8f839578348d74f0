"""Rules: pure functions of detections, tracks, zones, state and frame time. No frame, no verdict."""

from gateway.rules.episode import Closed, Opened, Transition, Updated
from gateway.rules.evaluate import decode, ended
from gateway.rules.ground import check_ground
from gateway.rules.panel import TRACKS, Happened, Panel
from gateway.rules.schedule import holds

__all__ = [
    "TRACKS",
    "Closed",
    "Happened",
    "Opened",
    "Panel",
    "Transition",
    "Updated",
    "check_ground",
    "decode",
    "ended",
    "holds",
]
