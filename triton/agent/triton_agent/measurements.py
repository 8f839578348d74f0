"""Which models are to be measured when, and what they did."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from triton_agent.errors import UnreachableError
from triton_agent.logs import Log
from triton_agent.measurement import Measurable, Measured, measure
from triton_agent.triton_api import ServedModel, Statistics, TritonApi

TOTAL_S = 10.0  # for all models of one round
IDLE_S = 2.0  # nothing inferred for so long: nobody is using the server

Key = tuple[str, str]


@dataclass(slots=True)
class Measurements:
    """Measures each model that takes frames once it is loaded, and again when it was loaded anew.

    It never competes with cameras: a round is put off while anything has been inferred in the last `IDLE_S`, ends after
    `TOTAL_S`, and goes on with the next. Blocking; used from one thread at a time.

    Args:
        api: The server.
        batch_size: Frames in a request.
        region: Name for a region of shared memory.
        log: Where it is told; None: nowhere.
        wall_clock: Unix time in seconds.
    """

    api: TritonApi
    batch_size: int
    region: str
    log: Log | None = None
    wall_clock: Callable[[], float] = time.time
    _done: dict[Key, Measured | None] = field(default_factory=dict[Key, Measured | None])
    _counts: dict[Key, int] = field(default_factory=dict[Key, int])

    def of(self, models: Sequence[ServedModel]) -> dict[str, Measured]:
        """What the loaded ones of these models did, by name."""
        found = {model.model_id: self._done.get((model.model_id, model.version)) for model in models if model.loaded}
        return {name: measured for name, measured in found.items() if measured is not None}

    def server_gone(self) -> None:
        """The server ended: the next one counts from zero, although its models are the same."""
        self._counts.clear()

    def due(self, models: Sequence[ServedModel]) -> bool:
        """Whether a model is to be measured, and the server idle."""
        loaded = [(model.model_id, model.version) for model in models if model.loaded]
        statistics = self._statistics()
        for key, seen in statistics.items():
            if seen.inferences < self._counts.get(key, 0):
                self._done.pop(key, None)  # it was loaded anew
        self._counts = {key: seen.inferences for key, seen in statistics.items()}
        if all(key in self._done for key in loaded):
            return False
        last_s = max((seen.last_inference_s for seen in statistics.values()), default=0.0)
        return self.wall_clock() - last_s >= IDLE_S

    def run(self, models: Sequence[ServedModel]) -> None:
        """Measure what is to be measured."""
        until_s = time.monotonic() + TOTAL_S
        for model in models:
            key = model.model_id, model.version
            if model.loaded and key not in self._done and time.monotonic() < until_s:
                measured = self._measure(model)
                if measured is None and not self.api.ready():
                    return  # it is the server that failed: another time
                self._done[key] = measured
        self._counts = {key: seen.inferences for key, seen in self._statistics().items()}

    def _measure(self, model: ServedModel) -> Measured | None:
        try:
            measurable = Measurable.of(self.api.config(model.model_id, model.version), model.version)
            if measurable is None:
                return None
            measured = measure(self.api, measurable, self.batch_size, self.region)
        except UnreachableError as error:
            self._tell("model not measured", model=model.model_id, reason=str(error))
            return None
        self._tell(
            "model measured",
            model=model.model_id,
            version=model.version,
            fps=measured.fps,
            p95_ms=measured.p95_ms,
            batch_size=measured.batch_size,
        )
        return measured

    def _statistics(self) -> dict[Key, Statistics]:
        with contextlib.suppress(UnreachableError):
            return self.api.statistics()
        return {}

    def _tell(self, message: str, **fields: object) -> None:
        if self.log is not None:
            self.log.info(message, **fields)
