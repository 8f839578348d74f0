"""A connection to a runtime behind circuit breakers: one for the runtime, one for each of its models."""

import asyncio
import logging
import random
from collections.abc import Callable

import numpy as np

from gateway.domain.breaker import CircuitBreaker
from gateway.domain.clock import Clock
from gateway.domain.frame import Frame
from gateway.domain.inference import InferenceResult
from gateway.domain.model import ModelContract, Task
from gateway.domain.runtime import RuntimeState
from gateway.errors import InferenceError, InferenceTimeoutError, ModelContractError, RuntimeUnavailableError
from gateway.inference import TritonRuntime

_logger = logging.getLogger(__name__)

GREY = 128


class GuardedRuntime:
    """Sends frames, learns from what becomes of them, and tries by itself, one real frame at a time, what it holds.

    An answer of whatever kind says that the runtime works; none in time, or a lost connection, that it may not. No
    answer in time and a refusal count against the model, too: one that always fails is held alone.

    Args:
        connection: Where frames go.
        timeout_s: How long an answer may take, now.
        clock: For intervals.
        on_change: Called when frames may go where they could not, or no longer where they could.

    Attributes:
        connection: As given.
        breaker: The runtime's own.
        answered: Frames that were answered.
        late: Frames that had no answer in time.
    """

    def __init__(
        self,
        connection: TritonRuntime,
        timeout_s: Callable[[], float],
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        self.connection = connection
        self.breaker = CircuitBreaker(clock.monotonic())
        self.answered = self.late = 0
        self._model_breakers: dict[str, CircuitBreaker] = {}
        self._timeout_s = timeout_s
        self._clock = clock
        self._on_change = on_change
        self._wake = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether frames may go to it."""
        return self.connection.state is RuntimeState.READY and self.breaker.closed

    @property
    def state(self) -> RuntimeState:
        """The connection's, unless its breaker says worse."""
        return self.connection.state if self.ready or not self._connected else RuntimeState.UNAVAILABLE

    @property
    def reason(self) -> str:
        """Why frames may not go to it; empty while they may."""
        if self._connected and not self.breaker.closed:
            return f"held until a frame is answered again: {self.breaker.reason}"
        return self.connection.reason

    @property
    def models(self) -> dict[str, ModelContract]:
        """Models that frames may go to, while the runtime is ready."""
        return {name: contract for name, contract in self.connection.contracts.items() if name not in self.held_models}

    @property
    def held_models(self) -> dict[str, str]:
        """Loaded models that no frame goes to, and why."""
        return {
            name: breaker.reason
            for name, breaker in self._model_breakers.items()
            if not breaker.closed and name in self.connection.contracts
        }

    async def infer(self, model: str, frame: Frame, timeout_s: float) -> InferenceResult:
        """As `TritonRuntime.infer`, and learn from how it ends."""
        try:
            result = await self.connection.infer(model, frame, timeout_s)
        except InferenceError as error:
            self._learn(model, error)
            raise
        else:
            self._learn(model, None)
            return result

    def connection_changed(self) -> None:
        """The connection was lost, is back, or has other models."""
        if self.connection.state is RuntimeState.UNAVAILABLE:
            self.breaker.trip(self._clock.monotonic(), self.connection.reason, _jitter())
        elif self._connected:
            self.breaker.hasten(self._clock.monotonic())
        loaded = self.connection.contracts
        self._model_breakers = {name: kept for name, kept in self._model_breakers.items() if name in loaded}
        self._wake.set()

    async def run(self) -> None:
        """Try what is held whenever it is due, until cancelled."""
        while True:
            self._wake.clear()
            due = self._due()
            if due is None:
                await self._wake.wait()
                continue
            model, breaker, try_at_s = due
            try:
                async with asyncio.timeout(max(0.0, try_at_s - self._clock.monotonic())):
                    await self._wake.wait()
            except TimeoutError:
                await self._try(model, breaker)

    @property
    def _connected(self) -> bool:
        return self.connection.state is RuntimeState.READY

    def _learn(self, model: str, error: InferenceError | None) -> None:
        now_s = self._clock.monotonic()
        of_model = self._model_breakers.get(model)
        if of_model is None:
            of_model = self._model_breakers[model] = CircuitBreaker(now_s)
        before = self.breaker.closed, of_model.closed
        self.late += isinstance(error, InferenceTimeoutError)
        if error is None:
            self.answered += 1
            of_model.succeed(now_s)
        elif not isinstance(error, RuntimeUnavailableError) and self._is_detector(model):
            of_model.fail(now_s, str(error), _jitter())
        if isinstance(error, RuntimeUnavailableError | InferenceTimeoutError):
            self.breaker.fail(now_s, str(error), _jitter())
        elif not isinstance(error, ModelContractError):  # which may be found without asking
            self.breaker.succeed(now_s)
        if (self.breaker.closed, of_model.closed) != before:
            what = "model" if self.breaker.closed else "runtime"
            self._log(logging.WARNING, f"no frames to a {what} that fails", model, str(error))
            self._wake.set()
            self._on_change()

    def _is_detector(self, model: str) -> bool:
        """Whether a frame for it was sent at all: others are refused before."""
        contract = self.connection.contracts.get(model)
        return contract is not None and contract.task is not Task.CLASSIFY

    def _log(self, level: int, message: str, model: str, reason: str = "") -> None:
        fields = {"runtime_id": self.connection.runtime_id, "model": model, "reason": reason}
        _logger.log(level, message, extra={name: value for name, value in fields.items() if value})

    def _due(self) -> tuple[str, CircuitBreaker, float] | None:
        """What is to be tried next: the runtime before its models."""
        if not self._connected:
            return None
        if self.breaker.try_at_s is not None:
            return self._canary_model(), self.breaker, self.breaker.try_at_s
        waiting = [
            (breaker.try_at_s, name, breaker)
            for name, breaker in self._model_breakers.items()
            if breaker.try_at_s is not None
        ]
        if not waiting:
            return None
        try_at_s, name, breaker = min(waiting, key=lambda entry: entry[:2])
        return name, breaker, try_at_s

    def _canary_model(self) -> str:
        """A model that answers, as far as is known; empty where none is loaded."""
        contracts = self.connection.contracts
        names = [name for name in self.models or contracts if contracts[name].task is not Task.CLASSIFY]
        return min(names, default="")

    async def _try(self, model: str, breaker: CircuitBreaker) -> None:
        breaker.begin_try()
        failure = ""
        contract = self.connection.contracts.get(model)
        try:
            if contract is not None:
                await self.connection.infer(model, _grey_frame(contract), self._timeout_s())
        except InferenceError as error:
            answered = not isinstance(error, RuntimeUnavailableError | InferenceTimeoutError)
            failure = "" if breaker is self.breaker and answered else str(error)
        breaker.end_try(self._clock.monotonic(), failure, _jitter())
        if breaker.closed:
            what = "runtime" if breaker is self.breaker else "model"
            self._log(logging.INFO, f"frames again to a {what} that had failed", model)
            self._on_change()


def _grey_frame(contract: ModelContract) -> Frame:
    width, height = contract.input_wh
    chroma = np.full((height // 2, width // 2), GREY, np.uint8)
    return Frame(0, 0.0, 0.0, np.full((height, width), GREY, np.uint8), chroma, chroma)


def _jitter() -> float:
    return random.random()  # noqa: S311 - no secret
