"""The state of this runtime as the gateway is to see it: up or down, which models, changed when."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

from triton_agent.capabilities import Capabilities, declare
from triton_agent.errors import UnreachableError
from triton_agent.hardware import Hardware
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
    """

    def __init__(
        self, runtime_id: str, endpoint: Endpoint, declared: Declared, detect: Callable[[], Hardware], api: TritonApi
    ) -> None:
        self.runtime_id = runtime_id
        self.changed = asyncio.Event()
        self._endpoint = endpoint
        self._declared = declared
        self._detect = detect
        self._api = api
        self._up = False
        self._models: tuple[ServedModel, ...] = ()
        self._shared_memory = True

    def set_up(self, *, up: bool) -> None:
        """Note that Triton is ready to serve, or that it is gone."""
        self._up = up
        self.changed.set()

    async def capabilities(self) -> Capabilities:
        """The declaration of this moment; while Triton is away every model it had is declared as not loaded."""
        hardware = await asyncio.to_thread(self._detect)
        await self._ask_triton()
        return declare(
            self.runtime_id,
            hardware,
            self._declared,
            self._endpoint,
            self._models,
            shared_memory=self._shared_memory,
        )

    async def _ask_triton(self) -> None:
        if self._up:
            with contextlib.suppress(UnreachableError):
                self._models = await asyncio.to_thread(self._api.models)
                self._shared_memory = await asyncio.to_thread(self._api.accepts_shared_memory)
                return
        self._models = tuple(replace(model, loaded=False) for model in self._models)
