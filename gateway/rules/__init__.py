"""Rules: pure functions of detections, zones, state and frame time. No frame, no verdict."""

from gateway.rules.episode import Closed, EpisodeState, Opened, Transition
from gateway.rules.evaluate import Observation, evaluate, finish

__all__ = ["Closed", "EpisodeState", "Observation", "Opened", "Transition", "evaluate", "finish"]
