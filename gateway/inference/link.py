"""Which of a runtime's two addresses is used, for control and for frames."""

import asyncio
import logging

from gateway.errors import InferenceError, RuntimeUnavailableError
from gateway.inference.control import CONTROL_TIMEOUT_S, TritonControl
from gateway.inference.http_control import HttpControl
from gateway.inference.http_transport import HttpTransport
from gateway.inference.transport import InferenceTransport

_logger = logging.getLogger(__name__)


class Link:
    """HTTP where that serves, else gRPC, which is imported then: it takes 19 MB and a tenth of a start.

    Args:
        grpc_url: `host:port`.
        http_url: `http://host:port`; None where it isn't declared.
    """

    def __init__(self, grpc_url: str, http_url: str | None) -> None:
        self._grpc_url = grpc_url.removeprefix("grpc://")
        self._http = None if http_url is None else HttpTransport(http_url)
        self._http_control = None if self._http is None else HttpControl(self._http)
        self._grpc: tuple[TritonControl, InferenceTransport] | None = None
        self._chosen: tuple[TritonControl, InferenceTransport] | None = None

    @property
    def control(self) -> TritonControl:
        """Over the address that was chosen, or would be tried first."""
        return (self._chosen or self._first())[0]

    @property
    def transport(self) -> InferenceTransport:
        """Likewise."""
        return (self._chosen or self._first())[1]

    async def choose(self) -> None:
        """Find out which address serves now; stays with gRPC only while HTTP doesn't.

        Raises:
            InferenceError: Neither can be reached.
        """
        if self._http is None:
            self._chosen = self._by_grpc()
            return
        try:
            await self._http.check()
        except InferenceError as error:
            await self._reach_grpc()  # or gRPC would be imported for a server that is merely away
            if self._chosen is None or self._chosen[1] is self._http:
                _logger.warning("frames go over gRPC", extra={"server": self._grpc_url, "reason": str(error)})
            self._chosen = self._by_grpc()
        else:
            self._chosen = self._first()

    async def close(self) -> None:
        """Close every connection."""
        if self._http is not None:
            await self._http.close()
        if self._grpc is not None:
            for each in self._grpc:
                await each.close()

    def _first(self) -> tuple[TritonControl, InferenceTransport]:
        if self._http is None or self._http_control is None:
            return self._by_grpc()
        return self._http_control, self._http

    def _by_grpc(self) -> tuple[TritonControl, InferenceTransport]:
        if self._grpc is None:
            from gateway.inference.grpc_control import GrpcControl
            from gateway.inference.grpc_transport import GrpcTransport

            self._grpc = GrpcControl(self._grpc_url), GrpcTransport(self._grpc_url)
        return self._grpc

    async def _reach_grpc(self) -> None:
        host, _, port = self._grpc_url.rpartition(":")
        try:
            async with asyncio.timeout(CONTROL_TIMEOUT_S):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except (OSError, ValueError) as error:
            raise RuntimeUnavailableError(f"the inference server can't be reached: {error}") from error
        writer.close()
