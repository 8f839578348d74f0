"""Who walks through the street, where and when: a pure function of seed and time."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

CYCLE_S = 20.0
"""Length of one act of the play in seconds; each act has its own people."""

SECOND_GROUP_S = 9.5
"""When the second half of an act's people sets out. Leaves the zone empty for at least 3.5 s between the halves."""

MARGIN = 0.12
"""How far beyond the picture's edges a walk begins and ends, as a fraction of the picture's width."""

WAY = 1 + 2 * MARGIN
"""Length of a walk, as a fraction of the picture's width."""

PAUSE_AT = 0.5
"""Where the first of an act's people stops for a moment, as a fraction of the way."""

PAUSE_S = 2.0

LANES = (0.73, 0.79, 0.85)
"""Height in the picture, as a fraction from the top, on which feet tread."""

HORIZON = 0.30
"""Where the picture's parallels meet, as a fraction from the top; sizes grow linearly from there."""

STATURE = 0.89
"""Height of an average person over the distance of his feet from the horizon."""

STRIDE = 0.82
"""Length of two steps over the person's height, as adults walk at their ease."""

BGR = tuple[int, int, int]

TOPS: tuple[BGR, ...] = (
    (52, 44, 40), (120, 62, 38), (44, 46, 128), (58, 84, 48), (84, 58, 96), (30, 86, 150), (96, 92, 44), (66, 66, 70),
)  # fmt: skip
TROUSERS: tuple[BGR, ...] = ((58, 46, 40), (78, 56, 38), (40, 40, 42), (48, 62, 78), (84, 70, 56))
SKINS: tuple[BGR, ...] = ((150, 180, 226), (120, 154, 206), (88, 122, 178), (62, 86, 132), (46, 62, 98))
HAIRS: tuple[BGR, ...] = ((28, 30, 34), (34, 52, 78), (58, 92, 128), (74, 74, 78), (22, 24, 30))
SHOES: tuple[BGR, ...] = ((30, 30, 34), (48, 60, 86), (72, 68, 66))


@dataclass(frozen=True, slots=True)
class Look:
    """What a person looks like; colours are blue, green, red in 0 to 255.

    Attributes:
        build: Width of the body over the usual, about 0.9 to 1.15.
        long_hair: Hair that falls to the shoulders.
        bag: A bag hangs from the shoulder.
    """

    top: BGR
    trousers: BGR
    skin: BGR
    hair: BGR
    shoes: BGR
    build: float
    long_hair: bool
    bag: bool


@dataclass(frozen=True, slots=True)
class Walk:
    """One person's way through the picture, from beyond one edge to beyond the other.

    Attributes:
        person_id: Unique within a street.
        start_s: When it begins, in street time.
        duration_s: Time to cross without the pause.
        pause_s: How long the person stops half-way.
        direction: 1 from left to right, -1 from right to left.
        feet_y: Where the feet tread, as a fraction of the picture's height.
        height: The person's height as a fraction of the picture's height.
        look: What the person looks like.
    """

    person_id: int
    start_s: float
    duration_s: float
    pause_s: float
    direction: int
    feet_y: float
    height: float
    look: Look

    def present(self, time_s: float) -> bool:
        """Whether the walk is under way."""
        return 0 <= time_s - self.start_s < self.duration_s + self.pause_s

    def progress(self, time_s: float) -> float:
        """How much of the way is done: 0 before the walk to 1 after it."""
        elapsed = time_s - self.start_s
        halfway = self.duration_s * PAUSE_AT
        walked = elapsed if elapsed < halfway else max(halfway, elapsed - self.pause_s)
        return min(1.0, max(0.0, walked / self.duration_s))

    def x(self, time_s: float) -> float:
        """Where the body's axis is, as a fraction of the picture's width."""
        across = -MARGIN + WAY * self.progress(time_s)
        return across if self.direction > 0 else 1 - across

    def vigour(self, time_s: float) -> float:
        """How far the limbs swing, 1 in full stride and 0 at rest; blends over 0.4 s around a pause."""
        if not self.pause_s:
            return 1.0
        into = time_s - self.start_s - self.duration_s * PAUSE_AT
        outside = max(-into, into - self.pause_s)
        return min(1.0, max(0.0, outside / 0.4))


@lru_cache(maxsize=64)
def act(seed: int, number: int, people: int) -> tuple[Walk, ...]:
    """The walks of one act, those farthest from the viewer first.

    Even-numbered people set out at the start of the act, odd-numbered ones in its middle, so that any place in the
    middle of the street is both crossed and left empty once or twice in every `CYCLE_S`.
    """
    walks = [_walk(seed, number, index, people) for index in range(people)]
    return tuple(sorted(walks, key=lambda walk: walk.feet_y))


def walks_at(seed: int, time_s: float, people: int) -> list[Walk]:
    """The walks in progress at a time, those farthest from the viewer first."""
    number = int(time_s // CYCLE_S)
    candidates = [walk for n in (number - 1, number) if n >= 0 for walk in act(seed, n, people)]
    return sorted((walk for walk in candidates if walk.present(time_s)), key=lambda walk: walk.feet_y)


def _walk(seed: int, number: int, index: int, people: int) -> Walk:
    rng = np.random.default_rng((seed, number, index))
    group, rank = index % 2, index // 2
    feet_y = LANES[(rank + number) % len(LANES)] + float(rng.uniform(-0.02, 0.02))
    return Walk(
        person_id=number * people + index,
        start_s=number * CYCLE_S + group * SECOND_GROUP_S + rank * 0.7 + float(rng.uniform(0, 0.6)),
        duration_s=float(rng.uniform(6.5, 8.0)),
        pause_s=PAUSE_S if index == 0 else 0.0,
        direction=1 if rng.random() < 0.5 else -1,
        feet_y=feet_y,
        height=STATURE * (feet_y - HORIZON) * float(rng.uniform(0.93, 1.05)),
        look=_look(rng),
    )


def _look(rng: np.random.Generator) -> Look:
    def pick(palette: tuple[BGR, ...]) -> BGR:
        return palette[int(rng.integers(len(palette)))]

    return Look(
        top=pick(TOPS),
        trousers=pick(TROUSERS),
        skin=pick(SKINS),
        hair=pick(HAIRS),
        shoes=pick(SHOES),
        build=float(rng.uniform(0.92, 1.12)),
        long_hair=bool(rng.random() < 0.35),
        bag=bool(rng.random() < 0.3),
    )
