"""A proxy before PostgreSQL that loses the connection when a COMMIT was carried out and its answer is on the way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

_COMMIT = b"COMMIT"


class CuttingProxy:
    """Forwards TCP to a server's Unix socket; cuts at every other COMMIT.

    Attributes:
        cuts: How often it has cut.
    """

    def __init__(self, server: Path, limit: int) -> None:
        self._server = server
        self._limit = limit
        self._commits = 0
        self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection; ends both sides when either ends."""
        answers, requests = await asyncio.open_unix_connection(self._server)
        back = asyncio.create_task(_carry(answers, writer))
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(1 << 16):
                cuts = _COMMIT in chunk and self._has_turn()
                if cuts:
                    back.cancel()  # before the server can answer
                    await asyncio.wait({back})
                requests.write(chunk)
                await requests.drain()
                if cuts:
                    await answers.read(1 << 16)  # it is committed now
                    break
        back.cancel()
        await asyncio.wait({back})
        for each in (writer, requests):
            each.transport.abort()

    def _has_turn(self) -> bool:
        self._commits += 1
        if self._commits % 2 == 0 or self.cuts == self._limit:
            return False
        self.cuts += 1
        return True


@contextlib.asynccontextmanager
async def cutting_proxy(server: Path, limit: int) -> AsyncIterator[tuple[CuttingProxy, int]]:
    """A proxy that cuts so often, and its port on loopback."""
    proxy = CuttingProxy(server, limit)
    listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    async with listening:
        yield proxy, listening.sockets[0].getsockname()[1]


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
    writer.close()
