"""A real gateway process that keeps a history and dies where a test says: `kill -9` between two steps.

The points lie around the production code, not in it: the process that serves is the released one, its spool, drain and
transactions wrapped before it starts.
"""

import asyncio
import functools
import multiprocessing
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from gateway.cli import main
from gateway.domain.violation import ViolationOpened
from gateway.store import postgres_engine, sqlite_engine
from gateway.store.cursors import PiccoloCursors
from gateway.store.spool import SqliteSpool
from tests.support.history import History

STEPS = ("spool commit", "database commit", "delete")
FAILPOINTS = tuple(f"{when} {step}" for step in STEPS for when in ("before", "after"))
_Method = Callable[..., Awaitable[Any]]


class Failpoints:
    """Kills this process at the n-th passing of a point.

    Args:
        point: One of `FAILPOINTS`, or `before cursor` of a sender in the outbox; empty for none.
        passing: At which passing, from 1.
    """

    def __init__(self, point: str, passing: int) -> None:
        self._point = point
        self._left = passing

    def passes(self, point: str) -> None:
        """Die here, if it is the point and its turn has come."""
        if point == self._point:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, step: str, method: _Method, counts: Callable[..., bool]) -> _Method:
        """The method with a point before and one after it, passed where the call counts."""

        @functools.wraps(method)
        async def wrapped(*arguments: Any) -> Any:
            if not counts(*arguments):
                return await method(*arguments)
            self.passes(f"before {step}")
            result = await method(*arguments)
            self.passes(f"after {step}")
            return result

        return wrapped


def serve(
    data_dir: Path,
    port: int,
    history: Path,
    point: str,
    passing: int,
    *,
    env: Mapping[str, str],
    broken: bool = False,
) -> None:
    """Serve as `ruth-gateway serve` does, until killed or told to end; the body of a process of its own.

    Args:
        data_dir: The gateway's folder; its log goes to `gateway.log` there.
        port: Where it listens.
        history: The history file.
        point: Where it dies; empty for nowhere.
        passing: At which passing.
        env: Further environment variables.
        broken: Give it a spool that says "durable" before it is: the checker must see through that.
    """
    log = os.open(data_dir / "gateway.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(data_dir)
    os.environ.update(env, RUTH_AI_DATA_DIR=str(data_dir))
    _wrap(Failpoints(point, passing), History(history), broken=broken)
    sys.exit(main(["serve", "--config", "ruth.toml", "--port", str(port)]))


def start(*arguments: Any, fresh: bool = False, **options: Any) -> BaseProcess:
    """Start `serve` in a process forked from one that has imported the gateway, which is most of a start.

    Args:
        arguments: As of `serve`.
        fresh: Begin with a new interpreter, as a real start does; it takes over this process's environment.
        options: As of `serve`.
    """
    context: BaseContext = multiprocessing.get_context("spawn")
    if not fresh:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["gateway.app", __name__])
    process: BaseProcess = context.Process(  # type: ignore[attr-defined]
        target=serve, args=arguments, kwargs=options, daemon=True
    )
    process.start()
    return process


def _wrap(points: Failpoints, history: History, *, broken: bool) -> None:
    commit = _late(SqliteSpool.commit) if broken else SqliteSpool.commit

    async def acknowledged(spool: SqliteSpool, records: Any, states: Any) -> None:
        await commit(spool, records, states)
        for record in records:
            if isinstance(record, ViolationOpened):
                violation = record.violation
                history.acknowledged(violation.id, (violation.camera_id, violation.label))

    def opens(_: object, records: Any, __: object) -> bool:
        return any(isinstance(record, ViolationOpened) for record in records)

    _replace(SqliteSpool, "commit", points.around("spool commit", acknowledged, opens))
    _replace(SqliteSpool, "acknowledge", points.around("delete", SqliteSpool.acknowledge, lambda *_: True))
    _replace(PiccoloCursors, "advance", points.around("cursor", PiccoloCursors.advance, lambda *_: True))
    for engine in (sqlite_engine, postgres_engine):
        transaction = engine.PooledTransaction
        _replace(transaction, "commit", points.around("database commit", transaction.commit, _drains))


def _drains(_: object) -> bool:
    task = asyncio.current_task()
    return task is not None and task.get_name() == "drain"


def _late(commit: _Method) -> _Method:
    """A spool that says "durable" when it has merely heard of a record."""

    async def later(*arguments: Any) -> None:
        await asyncio.sleep(LATE_S)
        await commit(*arguments)

    async def wrapped(*arguments: Any) -> None:
        _pending.add(task := asyncio.create_task(later(*arguments)))
        task.add_done_callback(_pending.discard)

    return wrapped


LATE_S = 5.0
_pending: set["asyncio.Task[None]"] = set()


def _replace(owner: type, name: str, method: _Method) -> None:
    setattr(owner, name, method)
