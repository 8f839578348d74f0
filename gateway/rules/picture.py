"""How rules about the picture itself judge a frame."""

import msgspec
import numpy as np
import numpy.typing as npt

from gateway.domain.definitions import CameraTampered, FrozenPicture
from gateway.domain.frame import UInt8Array
from gateway.rules.episode import Hit
from gateway.rules.kind import SCENE, Hits
from gateway.rules.observation import Observation

FULL_SCALE = 255.0
_FIXED_POINT = 256
"""The usual scene is kept in 256ths of a level, so that a slow change isn't rounded away."""


_LARGEST_SHARE = 0.1
"""Of the usual scene one picture makes up no more than this, however long nothing was seen before it."""


_LEAST_LOOKS = 3
"""Another scene isn't the usual one before it has been seen so often, however seldom that is."""


class UsualScene(msgspec.Struct, frozen=True):
    """The scene as it usually is.

    Attributes:
        luma: uint16, in 256ths of a level; empty before the first frame in which there is something to be seen.
        seen_s: Frame time of the last look.
        other_s: Seconds for which another scene has been looked at.
    """

    luma: bytes = b""
    seen_s: float = 0.0
    other_s: float = 0.0


def tampered(definition: CameraTampered, memory: UsualScene, observation: Observation) -> tuple[UsualScene, Hits]:
    """The picture when there is nothing to be seen in it, or not the usual scene.

    The usual scene follows the picture slowly. Another one is not mixed into it, and takes its place once it has been
    looked at for `memory_s`; what hides everything never does.
    """
    luma = observation.luma
    if luma is None:
        return memory, {}
    now, time_s = luma.astype(np.float64), observation.time_s
    usual = _usual(memory, luma)
    if now.std() < definition.min_contrast * FULL_SCALE:
        return UsualScene(b"" if usual is None else memory.luma, time_s), _when(True, observation)
    if usual is None:
        return _remembered(now, time_s), {}
    looked_s = _looked_s(memory, observation)
    if _likeness(now, usual) >= definition.min_likeness:
        share = min(_LARGEST_SHARE, looked_s / definition.memory_s)
        return _remembered(usual + (now - usual) * share, time_s), {}
    at_most_s = max(_LARGEST_SHARE * definition.memory_s, observation.least_gap_s)
    other_s = memory.other_s + min(looked_s, at_most_s, definition.memory_s / _LEAST_LOOKS)
    if other_s >= definition.memory_s:
        return _remembered(now, time_s), {}
    return UsualScene(memory.luma, time_s, other_s), _when(True, observation)


def _looked_s(memory: UsualScene, observation: Observation) -> float:
    """Seconds that this look stands for: since the last one, but for those in which nobody looked.

    0 where frame time went back over a restart.
    """
    return max(0.0, observation.time_s - memory.seen_s - observation.blind_s)


class LastPicture(msgspec.Struct, frozen=True):
    """The picture before: uint8 luma; empty before the first."""

    luma: bytes = b""


def frozen(definition: FrozenPicture, memory: LastPicture, observation: Observation) -> tuple[LastPicture, Hits]:
    """The picture when it is the one before."""
    luma = observation.luma
    if luma is None:
        return memory, {}
    before = np.frombuffer(memory.luma, np.uint8)
    same = before.size == luma.size and _change(before.reshape(luma.shape), luma) <= definition.max_change
    return LastPicture(luma.tobytes()), _when(same, observation)


def _usual(memory: UsualScene, luma: UInt8Array) -> npt.NDArray[np.float64] | None:
    kept = np.frombuffer(memory.luma, np.uint16)
    return kept.reshape(luma.shape) / _FIXED_POINT if kept.size == luma.size else None


def _remembered(usual: npt.NDArray[np.float64], time_s: float) -> UsualScene:
    return UsualScene(np.rint(usual * _FIXED_POINT).astype(np.uint16).tobytes(), time_s)


def _likeness(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Correlation, -1..1: light that only grew or faded changes nothing. 1 where one of them has no contrast."""
    a, b = a - a.mean(), b - b.mean()
    spread = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / spread if spread > 0 else 1.0


def _change(a: UInt8Array, b: UInt8Array) -> float:
    return float(np.abs(a.astype(np.int16) - b).mean()) / FULL_SCALE


def _when(broken: bool, observation: Observation) -> Hits:
    width, height = observation.resolution_wh
    return {SCENE: Hit("camera", 1.0, (0.0, 0.0, float(width), float(height)))} if broken else {}
