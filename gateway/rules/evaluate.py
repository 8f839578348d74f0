"""From one frame's detections and a rule's state to what happened."""

from dataclasses import dataclass

from gateway.domain.detections import Detections
from gateway.domain.rule import RuleDefinition
from gateway.rules import episode, zone
from gateway.rules.episode import EpisodeState, Transition


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known of one frame.

    Attributes:
        time_s: Frame time in seconds.
        resolution_wh: Width and height of the source picture in pixels.
        detections: What the model saw, in source pixels.
    """

    time_s: float
    resolution_wh: tuple[int, int]
    detections: Detections


def evaluate(
    definition: RuleDefinition, state: EpisodeState, observation: Observation
) -> tuple[EpisodeState, list[Transition]]:
    """Judge one frame. After an `Opened` the caller puts the violation's id into the returned state."""
    hit = zone.best_hit(definition, observation.detections, observation.resolution_wh)
    return episode.advance(state, observation.time_s, hit, definition.min_duration_s, definition.max_gap_s)


def finish(state: EpisodeState) -> tuple[EpisodeState, list[Transition]]:
    """The stream is over: end what is open."""
    return episode.finish(state)
