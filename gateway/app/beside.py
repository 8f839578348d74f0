"""What runs beside the pipeline and the drain: a bug in it costs what it does, and nothing else."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping

from gateway.errors import RuthError

_logger = logging.getLogger(__name__)

Stage = Callable[[], Coroutine[None, None, None]]
"""Runs until it is cancelled."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
WELL_AFTER_S = 60.0
"""So long after it began again it is taken for well."""


class StageCrashedError(RuthError):
    """A part has a bug, and begins again."""


class Beside:
    """Begins a part again that has crashed, after a pause.

    Args:
        name: Of the part, for people.
        stage: What to run.
        first_pause_s: Before it begins again; doubles with each crash that follows before it is well.
    """

    def __init__(self, name: str, stage: Stage, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._name = name
        self._stage = stage
        self._first_pause_s = first_pause_s
        self._pause_s = first_pause_s
        self._fault = ""
        self._began_s = 0.0

    @property
    def fault(self) -> str:
        """What crashed it last, in words for a person; empty while it is well."""
        running_s = asyncio.get_running_loop().time() - self._began_s
        return "" if running_s >= WELL_AFTER_S else self._fault

    async def run(self) -> None:
        """Run until cancelled, or until the part ends by itself."""
        while True:
            self._began_s = asyncio.get_running_loop().time()
            try:
                return await self._stage()
            except Exception as error:
                if not self.fault:
                    self._pause_s = self._first_pause_s
                self._fault = f"{self._name} crashed: {type(error).__name__}, see the log"
                extra = {"next_try_s": self._pause_s}
                _logger.exception("%s crashed; it begins again", self._name, extra=extra)
            self._began_s = asyncio.get_running_loop().time() + self._pause_s
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)


def guarded(stages: Mapping[str, Stage]) -> dict[str, Beside]:
    """Give every part its guard, by name."""
    return {name: Beside(name, stage) for name, stage in stages.items()}


async def ask(parts: Mapping[str, Beside]) -> None:
    """Say whether all are well.

    Raises:
        StageCrashedError: Some have crashed lately.
    """
    if faults := [part.fault for part in parts.values() if part.fault]:
        raise StageCrashedError("; ".join(faults))
