"""What a type of rule is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from gateway.domain.definitions import Definition
from gateway.rules.episode import Hit
from gateway.rules.observation import Observation

SCENE = ""
"""The subject of a rule that is about the scene and not about one object in it."""

Hits = dict[str, Hit]
"""What breaks the rule in this frame, by subject: an episode's key. A followed object's is its track number."""

D = TypeVar("D", bound=Definition)
M = TypeVar("M", bound=msgspec.Struct)

ANY, HALF, EVERY = 0.0, 0.5, 1.0
"""Shares of frames."""


class Nothing(msgspec.Struct, frozen=True):
    """The memory of a rule that judges each frame for itself."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[D, M]):
    """A type of rule.

    Attributes:
        memory: What it remembers between two frames, beside its episodes; made without arguments where there is none.
        judge: From its definition, memory and one frame to the new memory and what breaks it. Pure.
        follows: Whether it needs tracks.
        looks: Whether it needs the picture's luma.
        least_share: From its definition to the share of the frames that show a subject that must hit before a violation
            opens. Any where a hit is something seen: models lose people in many frames. More where it is that something
            isn't seen or stands still, as one frame that errs looks like that.
    """

    memory: type[M]
    judge: Callable[[D, M, Observation], tuple[M, Hits]]
    follows: bool = False
    looks: bool = False
    least_share: Callable[[D], float] = lambda _: ANY
