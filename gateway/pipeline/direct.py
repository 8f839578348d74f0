"""Calls of single pictures from outside, let in beside the cameras' frames without starving them."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.domain.clock import Clock
from gateway.domain.frame import Frame
from gateway.domain.inference import InferenceResult
from gateway.errors import InferenceError, RuntimeBusyError, RuntimeUnavailableError
from gateway.metrics import Metrics
from gateway.pipeline.registered import Registered
from gateway.pipeline.registry import RuntimeRegistry

LEAST_SHARE = 0.1
"""Of a model's declared frames/s, what direct calls may take even while cameras want everything."""

BURST = 4
MAX_WAITING = 64
"""Direct calls of one model that may wait for their turn."""


@dataclass(slots=True)
class SpareRate:
    """Lets calls through at the rate that cameras leave over (GCRA; `BURST` of them at once).

    Each call comes with the rate of its moment, in calls/s.
    """

    _theoretical_arrival_s: float = 0.0

    def delay_s(self, rate: float, now_s: float) -> float:
        """How long a call that comes now has to wait; 0 when it may go at once."""
        return max(0.0, self._theoretical_arrival_s - (BURST - 1) / rate - now_s)

    def spend(self, rate: float, now_s: float) -> None:
        """One call has its turn, now or when its delay is over."""
        self._theoretical_arrival_s = max(self._theoretical_arrival_s, now_s) + 1 / rate


def spare_fps(declared_fps: float, granted_fps: float) -> float:
    """What is left of the runtimes' frames/s beside the cameras', but never less than `LEAST_SHARE` of them."""
    return max(declared_fps * LEAST_SHARE, declared_fps - granted_fps)


class DirectCalls:
    """Sends pictures that belong to no camera. Each call stands for itself; nothing is kept between two.

    At most one batch of a model is on its way to a runtime, so that a model that hangs holds up its own callers alone,
    and cameras' frames find room in between.

    Args:
        registry: Where runtimes are.
        metrics: What is counted.
        clock: For intervals.
        granted_fps: What cameras are granted now at a runtime, in all.
        timeout_s: A call that has no answer by then, waiting included, is given up.
    """

    def __init__(
        self,
        *,
        registry: RuntimeRegistry,
        metrics: Metrics,
        clock: Clock,
        granted_fps: Callable[[str], float],
        timeout_s: float,
    ) -> None:
        self._registry = registry
        self._metrics = metrics
        self._clock = clock
        self._granted_fps = granted_fps
        self._timeout_s = timeout_s
        self._rates: dict[str, SpareRate] = {}
        self._in_flight: Counter[tuple[str, str]] = Counter()
        self._waiting: Counter[str] = Counter()
        self._done = asyncio.Condition()

    async def infer(self, model: str, frame: Frame) -> InferenceResult:
        """Wait for a turn, send a picture to the least busy runtime, and wait for what the model sees in it.

        Raises:
            NotFoundError: No runtime that is ready has the model.
            ModelContractError: The model isn't loaded, or is none that gives detections.
            RuntimeBusyError: No turn came in time.
            RuntimeUnavailableError: The runtimes that have it are draining or held.
            InferenceError: The picture was sent, and no detections came back.
        """
        deadline_s = self._clock.monotonic() + self._timeout_s
        runtime = await self._turn(model)
        key = runtime.capability.runtime_id, model
        self._metrics.inference_requested(model)
        try:
            # Never less than a camera's frame gets: a late turn isn't the runtime's failure.
            timeout_s = max(runtime.limits.timeout_s, deadline_s - self._clock.monotonic())
            result = await runtime.guarded.infer(model, frame, timeout_s)
        except InferenceError as error:
            self._metrics.inference_failed(model, error)
            raise
        else:
            self._metrics.inference_succeeded(model, result.latency_s)
            return result
        finally:
            self._in_flight[key] -= 1
            self._in_flight += Counter()  # forget those at zero
            async with self._done:
                self._done.notify_all()

    async def _turn(self, model: str) -> Registered:
        """Take a place at the least busy runtime, once there is one."""
        self._serving(model)
        if self._waiting[model] >= MAX_WAITING:
            raise RuntimeBusyError(f"{MAX_WAITING} direct calls of {model} are waiting already; try again in a second")
        self._waiting[model] += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._keep_to_rate(model)
                async with self._done:
                    await self._done.wait_for(lambda: self._free(model))
                    runtime = min(self._free(model), key=lambda r: self._in_flight[r.capability.runtime_id, model])
                    self._in_flight[runtime.capability.runtime_id, model] += 1
                    return runtime
        except TimeoutError as error:
            raise RuntimeBusyError(f"no runtime had time for a direct call within {self._timeout_s:g} s") from error
        finally:
            self._waiting[model] -= 1
            self._waiting += Counter()  # forget those at zero

    async def _keep_to_rate(self, model: str) -> None:
        serving = self._serving(model)
        declared_fps = sum(runtime.limits.max_fps for runtime in serving)
        granted_fps = sum(self._granted_fps(runtime.capability.runtime_id) for runtime in serving)
        rate, now_s = spare_fps(declared_fps, granted_fps), self._clock.monotonic()
        spare = self._rates.setdefault(model, SpareRate())
        delay_s = spare.delay_s(rate, now_s)
        if delay_s >= self._timeout_s:
            raise RuntimeBusyError(f"cameras leave {rate:.3g} direct calls/s of {model}; try again in {delay_s:.0f} s")
        spare.spend(rate, now_s)
        await asyncio.sleep(delay_s)

    def _free(self, model: str) -> Sequence[Registered]:
        """Runtimes that have room for one more direct call of the model."""
        return [
            runtime
            for runtime in self._serving(model)
            if self._in_flight[runtime.capability.runtime_id, model] < runtime.limits.batch_size
        ]

    def _serving(self, model: str) -> Sequence[Registered]:
        """Ready runtimes on which the model answers; at least one."""
        serving = [runtime for runtime in self._registry if runtime.ready and model in runtime.guarded.models]
        if not serving:
            self._registry.having(model)[0].contract(model)  # refuses what is unknown or isn't loaded
            raise RuntimeUnavailableError(f"every runtime of model {model} is draining, or held until it answers again")
        return serving
