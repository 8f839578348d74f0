"""Scenes acted out for rules: objects by label and box, frame after frame."""

from itertools import count

import numpy as np

from gateway.domain.definitions import RuleDefinition
from gateway.domain.detections import Detections
from gateway.rules import Closed, Happened, Opened, Panel
from gateway.rules.episode import Transition

LABELS = ("person", "person_lying", "car", "backpack", "helmet", "vest")
SIZE = (640, 480)
NO_PICTURE = np.full((48, 64), 100, np.uint8)

Box = tuple[float, float, float, float]
Object = tuple[str, Box] | tuple[str, Box, float]


def seen(*objects: Object, labels: tuple[str, ...] = LABELS) -> Detections:
    """Detections of (label, box) or (label, box, score), in that order."""
    return Detections(
        xyxy=np.array([each[1] for each in objects], np.float32).reshape(-1, 4),
        score=np.array([each[2] if len(each) > 2 else 0.9 for each in objects], np.float32),
        class_id=np.array([labels.index(each[0]) for each in objects], np.int32),
        labels=labels,
        keypoints=np.zeros((len(objects), 0, 3), np.float32),
    )


def standing(x: float, feet_y: float = 400, height: float = 160) -> Box:
    """The box of a person who stands with their feet at a point."""
    return (x - height / 5, feet_y - height, x + height / 5, feet_y)


def lying_at(x: float, y: float = 400, length: float = 160) -> Box:
    """The box of a person who lies along the picture."""
    return (x - length / 2, y - length / 3, x + length / 2, y)


class Stage:
    """One rule and what it makes of the scenes it is shown."""

    def __init__(
        self,
        definition: RuleDefinition,
        labels: tuple[str, ...] = LABELS,
        crash: bool = False,
        period_s: float = 0.0,
    ) -> None:
        self.definition = definition
        self.period_s = period_s
        self.labels = labels
        self.crash = crash
        self.happened: list[Transition] = []
        self._numbers = count(1)
        self._panel = self._made({})

    def show(self, time_s: float, *objects: Object, luma: np.ndarray | None = None, blind_s: float = 0.0) -> None:
        """One frame; where crashes are wanted, all but the encoded state is forgotten before it."""
        if self.crash:
            self._panel = self._made(self._panel.states())
        picture = NO_PICTURE if luma is None else luma
        detections = seen(*objects, labels=self.labels)
        self._take(self._panel.judge(time_s, SIZE, detections, picture, blind_s, self.period_s))

    def end(self) -> None:
        """The stream is over."""
        self._take(self._panel.finish())

    def states(self) -> dict[str, bytes]:
        """What the spool would keep now."""
        return self._panel.states()

    def resume(self, states: dict[str, bytes]) -> None:
        """Go on with what a spool kept."""
        self._panel = self._made(states)

    @property
    def opened(self) -> list[Opened]:
        return [each for each in self.happened if isinstance(each, Opened)]

    @property
    def closed(self) -> list[Closed]:
        return [each for each in self.happened if isinstance(each, Closed)]

    def _take(self, happened: list[Happened]) -> None:
        self.happened += [each.transition for each in happened]

    def _made(self, states: dict[str, bytes]) -> Panel:
        return Panel({"rule": self.definition}, states, lambda: f"violation-{next(self._numbers)}")
