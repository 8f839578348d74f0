"""Composition root of `ruth-triton serve`: the only place where its parts are made and joined."""

import asyncio
import contextlib
import functools
import os
import signal
from collections.abc import AsyncGenerator, Mapping

from triton_agent.capabilities import declared_batch_size
from triton_agent.command import check_paths, known_options, server_command
from triton_agent.doorkeeper import Doorkeeper
from triton_agent.errors import AgentError
from triton_agent.hardware import detect
from triton_agent.integrity import Integrity
from triton_agent.leftovers import measurement_region, region_prefix, sweep_dead_agents
from triton_agent.locate import Installation, find
from triton_agent.logs import Log
from triton_agent.measurements import Measurements
from triton_agent.registration import Registration
from triton_agent.repository import wanted_models
from triton_agent.runtime import Runtime
from triton_agent.server import TritonServer, check_ports
from triton_agent.settings import Declared, Gateway, HardwareMode, Measuring, Serving, runtime_id
from triton_agent.supervisor import Supervisor
from triton_agent.triton_api import TritonApi


async def serve(
    serving: Serving, mode: HardwareMode, gateway: Gateway | None, env: Mapping[str, str], log: Log
) -> None:
    """Serve until SIGTERM or SIGINT; afterwards no process, no shared memory and no registration is left.

    Args:
        serving: What to serve and where.
        mode: What the operator says about the hardware.
        gateway: Where to register; None: nowhere.
        env: Environment variables.
        log: Where events and tritonserver's lines go.

    Raises:
        AgentError: It can't be served here; nothing was started.
        ServerFailedError: tritonserver ended and is not to be started again.
    """
    installation = find(env)
    check_paths(installation, serving)
    known = known_options(installation)
    hardware = detect(mode)
    declared = Declared.from_environment(env)
    check_ports(serving.endpoint)
    for prefix in sweep_dead_agents():
        log.warning("cleaned up after an agent that was killed", region_prefix=prefix)
    api = TritonApi(serving.endpoint.http_url, serving.endpoint.metrics_url)
    integrity = Integrity(serving.model_config_name)
    runtime = Runtime(
        runtime_id(env, serving.endpoint.grpc_port),
        serving.endpoint,
        declared,
        functools.partial(detect, hardware.kind),
        api,
        _measurements(serving, api, declared_batch_size(declared, hardware.kind), log),
        Doorkeeper(serving.model_repository, api, integrity, log) if serving.serves_without else None,
    )
    start = functools.partial(_start, installation, serving, hardware.kind, known, integrity, log)
    supervisor = Supervisor(start, api, runtime, serving.on_failure, log)
    async with _registered(gateway, runtime, log, _stop_on_signals()) as withdrawn:
        await supervisor.run(withdrawn)


def _measurements(serving: Serving, api: TritonApi, batch_size: int, log: Log) -> Measurements | None:
    if serving.measuring is Measuring.NEVER:
        return None
    return Measurements(api, batch_size, measurement_region(), log)


async def _start(
    installation: Installation,
    serving: Serving,
    kind: HardwareMode,
    known: frozenset[str],
    integrity: Integrity,
    log: Log,
) -> TritonServer:
    altered = await asyncio.to_thread(integrity.altered, wanted_models(serving))
    for model, reason in altered.items():
        log.error("model not loaded: it is not what was published", model=model, reason=reason)
    if altered and not serving.serves_without:
        raise AgentError("; ".join(altered.values()))
    prefix = region_prefix(os.getpid())
    command = server_command(installation, serving, kind, prefix, known, altered)
    log.debug("starting tritonserver", command=command)
    return await TritonServer.start(command, installation.environment, log, prefix)


@contextlib.asynccontextmanager
async def _registered(
    gateway: Gateway | None, runtime: Runtime, log: Log, stop: asyncio.Event
) -> AsyncGenerator[asyncio.Event]:
    """Keep the runtime registered until `stop` is set or the block ends.

    Yields:
        Set when it is no longer registered, so that no frame comes any more: Triton may end. Should registering itself
        break down, it is set, too, and what broke it is raised at the end of the block: a runtime that nobody hears of
        must not look alive.
    """
    if gateway is None:
        yield stop
        return
    withdrawn = asyncio.Event()
    registered = asyncio.create_task(Registration(gateway, runtime, log).run(stop))
    registered.add_done_callback(lambda _: withdrawn.set())
    try:
        yield withdrawn
    finally:
        stop.set()
        await registered


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
