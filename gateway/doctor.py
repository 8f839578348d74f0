"""What the service needs, checked one by one, each with what to do about it."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import av

from gateway.delivery.broker import connected, parse_broker
from gateway.delivery.topics import Topics
from gateway.errors import RuthError, SpoolInUseError
from gateway.inference.grpc_control import GrpcControl
from gateway.settings import Settings
from gateway.store.engine import make_engine
from gateway.store.migrate import migrate
from gateway.store.piccolo_store import PiccoloStore
from gateway.store.spool import SqliteSpool

CHECK_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked, and what was found or would do."""

    what: str
    ok: bool
    detail: str


async def examine(settings: Settings) -> list[Finding]:
    """Check everything; one that fails doesn't keep the others from being checked."""
    checks: dict[str, Callable[[Settings], Awaitable[str]]] = {
        "data folder": _data_folder,
        "spool": _spool,
        "database": _database,
        "inference server": _triton,
        "video libraries": _libraries,
    }
    if settings.mqtt_url is not None:
        checks["MQTT broker"] = _mqtt
    return [await _check(what, check(settings)) for what, check in checks.items()]


async def _check(what: str, check: Awaitable[str]) -> Finding:
    try:
        return Finding(what, True, await asyncio.wait_for(check, CHECK_TIMEOUT_S))
    except TimeoutError:
        return Finding(what, False, f"no answer within {CHECK_TIMEOUT_S:g} s")
    except (RuthError, OSError) as error:
        return Finding(what, False, str(error))


async def _data_folder(settings: Settings) -> str:
    folder = settings.data_dir.resolve()
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    return f"{folder}, {shutil.disk_usage(folder).free / 1e9:.1f} GB free"


async def _spool(settings: Settings) -> str:
    try:
        async with await SqliteSpool.open(settings.data_dir / "spool.db") as spool:
            await spool.commit((), {})
            return f"durable, {await spool.depth()} records wait for the database"
    except SpoolInUseError:
        return "in use by a running gateway; its health page says how it is"


async def _database(settings: Settings) -> str:
    engine = make_engine(settings.database_url, settings.data_dir, pool_size=1)
    try:
        ran = await migrate(engine)
        store = await PiccoloStore.open(engine)
        await store.ping()
        return f"answers, {len(ran)} migrations run now" if ran else "answers, tables up to date"
    finally:
        await engine.close()


async def _triton(settings: Settings) -> str:
    client = GrpcControl(settings.runtime_url)
    try:
        ready = [model.name for model in await client.index() if model.ready]
        return f"{settings.runtime_url} answers, models loaded: {', '.join(ready) or 'none'}"
    except RuthError as error:
        raise RuthError(
            f"{settings.runtime_url}: {error}; start ruth-triton serve, or set AI_RUNTIME_URL to a gRPC address"
        ) from error
    finally:
        await client.close()


async def _mqtt(settings: Settings) -> str:
    broker = parse_broker(settings.mqtt_url or "", settings.mqtt_username, settings.mqtt_password, settings.mqtt_ca)
    async with connected(broker, f"{Topics(settings.mqtt_topic).client_id}-doctor"):
        return f"{broker} lets the gateway in"


async def _libraries(_: Settings) -> str:
    return f"FFmpeg {av.ffmpeg_version_info} through PyAV {av.__version__}"
