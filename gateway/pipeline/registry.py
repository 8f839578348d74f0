"""The runtimes that have declared themselves, and a connection to each."""

import asyncio
import datetime as dt
import logging
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor

from gateway.domain.capability import AdaptationTable, Capability, RuntimeLimits, adapt
from gateway.domain.clock import Clock
from gateway.domain.model import ModelContract
from gateway.domain.runtime import Drainage, ModelStatus, RuntimeState
from gateway.errors import ConflictError, InvalidInputError, NotFoundError
from gateway.inference import Link, TritonRuntime
from gateway.inference.statistics import TritonObserver
from gateway.pipeline.guarded import GuardedRuntime
from gateway.pipeline.registered import Registered
from gateway.pipeline.watched import WatchedRuntime

_logger = logging.getLogger(__name__)

MISSED_HEARTBEATS = 3
SLOTS_TO_SPARE = 1.5  # for frames that were given up, and are still in the server's hands
RETIRE_POLL_S = 0.01
CLOSE_S = 1.0  # for the server to forget the region, before it goes away


class RuntimeRegistry:
    """Keeps one connection per declared runtime and forgets runtimes that miss three heartbeats.

    Args:
        table: The adaptation table.
        heartbeat_interval_s: What runtimes are asked to keep to.
        local_host_id: Runtimes that declare the same are reached through shared memory.
        clock: For intervals.
        workers: Where frames are scaled.
        spawn: Starts a task that the pipeline owns.
        on_change: Called with a runtime's id when its state, limits or models have changed, or it is gone.
    """

    def __init__(
        self,
        *,
        table: AdaptationTable,
        heartbeat_interval_s: float,
        local_host_id: str,
        clock: Clock,
        workers: Executor,
        spawn: Callable[[Coroutine[None, None, None], str], "asyncio.Task[None]"],
        on_change: Callable[[str], None],
    ) -> None:
        self._table = table
        self._expiry_s = heartbeat_interval_s * MISSED_HEARTBEATS
        self._host_id = local_host_id
        self._clock = clock
        self._workers = workers
        self._spawn = spawn
        self._on_change = on_change
        self._runtimes: dict[str, Registered] = {}

    def __iter__(self) -> Iterator[Registered]:
        return iter(list(self._runtimes.values()))

    def get(self, runtime_id: str) -> Registered | None:
        """One runtime; None when it isn't registered."""
        return self._runtimes.get(runtime_id)

    def register(self, capability: Capability, age_s: float = 0.0) -> None:
        """Take a declaration: a new runtime, a moved one, or a heartbeat. One older than the last is passed over.

        Args:
            capability: What the runtime declares.
            age_s: How long ago it did, in seconds.

        Raises:
            InvalidInputError: The adaptation table has no row for its hardware.
            ConflictError: Another runtime, which answers, has this id.
        """
        if capability.hardware_type not in self._table:
            raise InvalidInputError(f"the adaptation table has no row for hardware_type {capability.hardware_type}")
        allowed, heartbeat_s = adapt(capability, self._table), self._clock.monotonic() - age_s
        known = self._runtimes.get(capability.runtime_id)
        if known is not None and heartbeat_s < known.heartbeat_s:
            return
        if known is not None and _address(known.capability) != _address(capability):
            self._check_moved(known, capability)
            _cancel(known)
            known = None
        if known is None:
            self._runtimes[capability.runtime_id] = self._connect(capability, allowed, age_s)
            _logger.info("runtime registered", extra=_summary(capability))
            self._on_change(capability.runtime_id)
            return
        changed = _scheduled(known.capability, known.allowed) != _scheduled(capability, allowed)
        known.capability, known.allowed, known.leaving = capability, allowed, False
        known.heartbeat_s, known.heartbeat_at = heartbeat_s, self._clock.utcnow() - dt.timedelta(seconds=age_s)
        if changed:
            known.connection.check()
            self._on_change(capability.runtime_id)

    def drain(self, runtime_id: str, drainage: Drainage) -> None:
        """Send a runtime no more frames, or frames again, unless that was decided otherwise later.

        Raises:
            NotFoundError: It isn't registered.
        """
        registered = self._registered(runtime_id)
        before, registered.drainage = registered.drainage, registered.drainage.newer(drainage)
        if registered.drainage.draining != before.draining:
            does = "drains" if registered.drainage.draining else "takes frames again"
            _logger.info("runtime %s", does, extra={"runtime_id": runtime_id})
            self._on_change(runtime_id)

    async def retire(self, runtime_id: str, in_flight: Callable[[], int]) -> None:
        """Forget a runtime that says goodbye, once its frames on their way are answered or too old.

        Args:
            runtime_id: As declared; `NotFoundError` if it isn't registered.
            in_flight: How many frames are on their way to it now.
        """
        registered = self._registered(runtime_id)
        registered.leaving = True
        self._on_change(runtime_id)
        deadline_s = self._clock.monotonic() + registered.allowed.timeout_s
        while registered.leaving and in_flight() and self._clock.monotonic() < deadline_s:  # noqa: ASYNC110 - rare
            await asyncio.sleep(RETIRE_POLL_S)
        if registered.leaving and self._runtimes.get(runtime_id) is registered:
            self._forget(registered, "it said goodbye")
            await asyncio.wait(registered.tasks, timeout=CLOSE_S)

    def expire(self, hearing_since_s: float | None) -> None:
        """Forget the runtimes whose last heartbeat is too old.

        Args:
            hearing_since_s: Since when heartbeats that other replicas get are heard of (monotonic seconds), None while
                they aren't: a runtime that answers isn't given up for a heartbeat that may have gone elsewhere.
        """
        now_s = self._clock.monotonic()
        for registered in self:
            silent_since_s = registered.heartbeat_s
            if registered.connection.state is RuntimeState.READY:
                silent_since_s = max(silent_since_s, now_s if hearing_since_s is None else hearing_since_s)
            if now_s - silent_since_s > self._expiry_s:
                self._forget(registered, f"no heartbeat for {self._expiry_s:g} s")

    def having(self, model: str) -> list[TritonRuntime]:
        """Ready connections to the runtimes that have a model in their repository.

        Raises:
            NotFoundError: No registered runtime has it.
        """
        found = [
            r.connection
            for r in self
            if r.connection.state is RuntimeState.READY
            and (model in r.connection.contracts or model in r.connection.refused)
        ]
        if not found:
            raise NotFoundError(f"no runtime that is ready has a model {model}")
        return found

    def models(self) -> list[ModelStatus]:
        """Every model of every registered runtime, by name."""
        names = {name for r in self for name in (*r.connection.contracts, *r.connection.refused)}
        return [self._model(name) for name in sorted(names)]

    def _model(self, name: str) -> ModelStatus:
        contract: ModelContract | None = None
        loaded_on: list[str] = []
        available_on: list[str] = []
        reasons: list[str] = []
        for registered in self:
            connection = registered.connection
            if name in connection.contracts:
                contract = connection.contracts[name]
                loaded_on.append(connection.runtime_id)
            if name in connection.contracts or name in connection.refused:
                available_on.append(connection.runtime_id)
            if name in connection.refused:
                reasons.append(connection.refused[name])
        reason = "" if contract is not None else "; ".join(dict.fromkeys(reasons))
        return ModelStatus(
            name=name, loaded_on=tuple(loaded_on), available_on=tuple(available_on), contract=contract, reason=reason
        )

    def _registered(self, runtime_id: str) -> Registered:
        registered = self._runtimes.get(runtime_id)
        if registered is None:
            raise NotFoundError(f"no runtime {runtime_id} is registered")
        return registered

    def _forget(self, registered: Registered, reason: str) -> None:
        runtime_id = registered.capability.runtime_id
        del self._runtimes[runtime_id]
        _logger.info("runtime gone", extra={"runtime_id": runtime_id, "reason": reason})
        _cancel(registered)
        self._on_change(runtime_id)

    def _check_moved(self, known: Registered, capability: Capability) -> None:
        """One id is one runtime: two that share it would take the connection from each other at every heartbeat."""
        if known.connection.state is RuntimeState.READY and not known.leaving:
            raise ConflictError(
                f"a runtime {capability.runtime_id} at {known.capability.grpc_url} is registered and answers; "
                "give this one an id of its own (RUTH_AI_RUNTIME_ID), or end the other first"
            )

    def _connect(self, capability: Capability, allowed: RuntimeLimits, age_s: float) -> Registered:
        runtime_id, clock = capability.runtime_id, self._clock
        heartbeat_at = clock.utcnow() - dt.timedelta(seconds=age_s)
        registered = Registered(capability, allowed, clock.monotonic() - age_s, heartbeat_at)
        connection = TritonRuntime(
            runtime_id,
            Link(capability.grpc_url, capability.http_url),
            shared_memory_reason=self._why_inline(capability),
            slots=round(allowed.most_in_flight * SLOTS_TO_SPARE),
            clock=clock,
            workers=self._workers,
            on_change=lambda: self._connection_changed(registered),
        )
        registered.guarded = GuardedRuntime(
            connection, lambda: registered.allowed.timeout_s, clock, lambda: self._on_change(runtime_id)
        )
        registered.watched = WatchedRuntime(
            registered.guarded,
            TritonObserver(Link(capability.grpc_url, capability.http_url), capability.metrics_url),
            lambda: registered.allowed,
            clock,
            lambda: self._limits_changed(registered),
        )
        registered.tasks = (
            self._spawn(connection.run(), f"runtime-{runtime_id}"),
            self._spawn(registered.guarded.run(), f"guard-{runtime_id}"),
            self._spawn(registered.watched.run(), f"watch-{runtime_id}"),
        )
        return registered

    def _limits_changed(self, registered: Registered) -> None:
        runtime_id, max_fps = registered.capability.runtime_id, round(registered.limits.max_fps, 1)
        extra = {"runtime_id": runtime_id, "max_fps": max_fps, "allowed_fps": registered.allowed.max_fps}
        _logger.info("limits corrected", extra={**extra, "reason": registered.watched.correction.reason})
        self._on_change(runtime_id)

    def _connection_changed(self, registered: Registered) -> None:
        registered.guarded.connection_changed()
        self._on_change(registered.capability.runtime_id)

    def _why_inline(self, capability: Capability) -> str:
        if not capability.shared_memory:
            return "the runtime declares no shared memory"
        if not self._host_id or capability.host_id != self._host_id:
            return "the runtime is on another host, or has a /dev/shm of its own"
        return ""


def _cancel(registered: Registered) -> None:
    for task in registered.tasks:
        task.cancel()


def _address(capability: Capability) -> tuple[str, str | None, bool, str | None]:
    return capability.grpc_url, capability.http_url, capability.shared_memory, capability.host_id


def _scheduled(capability: Capability, allowed: RuntimeLimits) -> tuple[object, ...]:
    """What the scheduler goes by."""
    return capability.supported_models, capability.measured, allowed


def _summary(capability: Capability) -> dict[str, object]:
    return {
        "runtime_id": capability.runtime_id,
        "hardware_type": capability.hardware_type.value,
        "grpc_url": capability.grpc_url,
        "max_fps": capability.max_fps,
    }
