"""What is begun is ended, for certain."""

import asyncio
import contextlib

import pytest

from gateway.ending import until_one_ends


async def _fail(after_s: float, reason: str) -> None:
    await asyncio.sleep(after_s)
    raise ValueError(reason)


async def _deaf(times: int) -> None:
    """Loses cancellations, as libraries do."""
    for _ in range(times):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
    await asyncio.sleep(3600)


async def test_it_ends_as_the_first_one_ends() -> None:
    with pytest.raises(ValueError, match="first"):
        await until_one_ends(_fail(0.01, "first"), _fail(3600, "late"), asyncio.sleep(3600))
    await until_one_ends(asyncio.sleep(0.01), _fail(3600, "late"))


async def test_what_loses_a_cancellation_is_cancelled_again() -> None:
    async with asyncio.timeout(5):
        await until_one_ends(asyncio.sleep(0.01), _deaf(2), again_s=0.05)


async def test_a_cancellation_from_outside_ends_everything() -> None:
    deaf = asyncio.ensure_future(_deaf(1))
    task = asyncio.create_task(until_one_ends(_wait_for(deaf), again_s=0.05))
    await asyncio.sleep(0.01)
    task.cancel()
    _, running = await asyncio.wait({task}, timeout=5)
    assert not running
    assert task.cancelled()
    assert deaf.done()


async def _wait_for(task: "asyncio.Future[None]") -> None:
    await task
