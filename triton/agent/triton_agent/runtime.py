"""The state of this runtime as the gateway is to see it: up or down, which models, changed when."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

from triton_agent.capabilities import Capabilities, declare
from triton_agent.doorkeeper import Doorkeeper
from triton_agent.errors import UnreachableError
from triton_agent.hardware import Hardware
from triton_agent.measurements import Measurements
from triton_agent.settings import Declared, Endpoint
from triton_agent.triton_api import ServedModel, TritonApi


class Runtime:
    """What is served right now. The supervisor says when Triton comes and goes; the registration asks and waits.

    Args:
        runtime_id: The name to declare.
        endpoint: Where Triton listens.
        declared: Limits set by the operator.
        detect: Detects the hardware; called for every declaration, since free memory changes.
        api: Asks Triton.
        measurements: How fast its models are; None: they are not measured.
        doorkeeper: Keeps altered models out of service; None: nobody does.
    """

    def __init__(
        self,
        runtime_id: str,
        endpoint: Endpoint,
        declared: Declared,
        detect: Callable[[], Hardware],
        api: TritonApi,
        measurements: Measurements | None,
        doorkeeper: Doorkeeper | None = None,
    ) -> None:
        self.runtime_id = runtime_id
        self.changed = asyncio.Event()
        self._endpoint = endpoint
        self._declared = declared
        self._detect = detect
        self._api = api
        self._measurements = measurements
        self._doorkeeper = doorkeeper
        self._measuring: asyncio.Future[None] | None = None
        self._up = False
        self._models: tuple[ServedModel, ...] = ()
        self._shared_memory = True

    def set_up(self, *, up: bool) -> None:
        """Note that Triton is ready to serve, or that it is gone."""
        self._up = up
        if not up and self._measurements is not None:
            self._measurements.server_gone()
        self.changed.set()

    async def capabilities(self) -> Capabilities:
        """The declaration of this moment; while Triton is away every model it had is declared as not loaded.

        The models that Triton begins with are measured before they are declared, as nobody can be using them yet; those
        that come later are measured beside the heartbeats, while nobody does.
        """
        hardware = await asyncio.to_thread(self._detect)
        first = not self._models
        await self._ask_triton()
        await self._measure(wait=first)
        return declare(
            self.runtime_id,
            hardware,
            self._declared,
            self._endpoint,
            self._models,
            shared_memory=self._shared_memory,
            measured={} if self._measurements is None else self._measurements.of(self._models),
        )

    async def _measure(self, *, wait: bool) -> None:
        measurements, models = self._measurements, self._models
        busy = self._measuring is not None and not self._measuring.done()
        if measurements is None or not self._up or busy:
            return
        if await asyncio.to_thread(measurements.due, models):
            self._measuring = asyncio.ensure_future(asyncio.to_thread(measurements.run, models))
            if wait:
                await self._measuring
            else:
                self._measuring.add_done_callback(lambda _: self.changed.set())

    async def _ask_triton(self) -> None:
        if self._up:
            with contextlib.suppress(UnreachableError):
                self._models = await asyncio.to_thread(self._look)
                self._shared_memory = await asyncio.to_thread(self._api.accepts_shared_memory)
                return
        self._models = tuple(replace(model, loaded=False) for model in self._models)

    def _look(self) -> tuple[ServedModel, ...]:
        models = self._api.models()
        return models if self._doorkeeper is None else self._doorkeeper.admit(models)
