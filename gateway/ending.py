"""Ending what runs, for certain."""

import asyncio
from collections.abc import Coroutine


async def until_one_ends(*work: Coroutine[None, None, None], again_s: float = 1.0) -> None:
    """Do several things until the first one ends or this is cancelled; end as it did, the others being cancelled.

    They are cancelled more than once: what lies beneath libraries on Python 3.11, such as `asyncio.wait_for`
    (python/cpython#86296), may lose a cancellation that comes while a connection is made.

    Args:
        work: What to do.
        again_s: How long to wait for an end before it is cancelled again.
    """
    tasks = {asyncio.ensure_future(each) for each in work}
    done: set[asyncio.Task[None]] = set()
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        while pending := {task for task in tasks if not task.done()}:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=again_s)
        failed = [task for task in tasks if not task.cancelled() and task.exception() is not None]  # all are asked
    for task in failed:
        if task in done:
            task.result()
