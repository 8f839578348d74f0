"""What a caller gets when there is no server, or no connection any more."""

from collections.abc import Awaitable, Callable

import pytest

from gateway.errors import RuntimeUnavailableError
from gateway.inference.triton import TritonClient

Call = Callable[[TritonClient], Awaitable[object]]

CALLS: dict[str, Call] = {
    "ready": lambda client: client.is_ready(),
    "index": lambda client: client.index(),
    "config": lambda client: client.config("people"),
    "statistics": lambda client: client.statistics(),
    "load": lambda client: client.load("people"),
    "unload": lambda client: client.unload("people"),
    "register": lambda client: client.register("region", 10),
    "registered": lambda client: client.is_registered("region"),
    "unregister": lambda client: client.unregister("region"),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_on_a_closed_connection_says_that_the_runtime_is_away(name: str):
    client = TritonClient("127.0.0.1:1")
    await client.close()
    with pytest.raises(RuntimeUnavailableError, match="closed"):
        await CALLS[name](client)


async def test_a_call_to_nobody_says_that_the_runtime_is_away():
    client = TritonClient("127.0.0.1:1")
    try:
        with pytest.raises(RuntimeUnavailableError, match="can't be reached"):
            await client.index()
    finally:
        await client.close()
