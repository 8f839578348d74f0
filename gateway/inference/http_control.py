"""Control of one Triton over HTTP: KServe v2 and Triton's extensions of it."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from gateway.errors import InferenceRejectedError
from gateway.inference.control import CONTROL_TIMEOUT_S, LOAD_TIMEOUT_S, ModelConfig, ModelStatistics, ServedModel
from gateway.inference.http_transport import OK, Exchange, HttpTransport, refused

_Value = TypeVar("_Value")


class _Statistics(msgspec.Struct):
    model_stats: list[ModelStatistics] = []


class _Region(msgspec.Struct):
    name: str


class HttpControl:
    """Asks over a transport's connections. Implements `gateway.inference.control.TritonControl`.

    Args:
        transport: To the server; it is closed with this.
    """

    def __init__(self, transport: HttpTransport) -> None:
        self._transport = transport

    async def is_ready(self) -> bool:
        """Whether the server answers and has finished starting."""
        return await self._send(_Status(), "GET", "/v2/health/ready") == OK

    async def index(self) -> Sequence[ServedModel]:
        """Every model version in the server's repository."""
        return await self._send(_Json(list[ServedModel]), "POST", "/v2/repository/index")

    async def config(self, model: str) -> ModelConfig:
        """Configuration of a loaded model."""
        return await self._send(_Json(ModelConfig), "GET", f"/v2/models/{quote(model, safe='')}/config")

    async def statistics(self) -> Sequence[ModelStatistics]:
        """Statistics of every loaded model version."""
        return (await self._send(_Json(_Statistics), "GET", "/v2/models/stats")).model_stats

    async def load(self, model: str) -> None:
        """Load, or reload, a model."""
        await self._tell(f"/v2/repository/models/{quote(model, safe='')}/load", timeout_s=LOAD_TIMEOUT_S)

    async def unload(self, model: str) -> None:
        """Unload a model."""
        await self._tell(f"/v2/repository/models/{quote(model, safe='')}/unload", timeout_s=LOAD_TIMEOUT_S)

    async def register(self, region: str, byte_size: int) -> None:
        """Make a shared-memory region known to the server."""
        key = {"key": f"/{region}", "offset": 0, "byte_size": byte_size}
        await self._tell(f"/v2/systemsharedmemory/region/{quote(region, safe='')}/register", key)

    async def is_registered(self, region: str) -> bool:
        """Whether the server knows a shared-memory region."""
        regions: list[_Region] = await self._send(_Json(list[_Region]), "GET", "/v2/systemsharedmemory/status")
        return any(each.name == region for each in regions)

    async def unregister(self, region: str) -> None:
        """Make the server forget a region; no call may be using it."""
        await self._tell(f"/v2/systemsharedmemory/region/{quote(region, safe='')}/unregister")

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def _tell(self, path: str, body: object = None, timeout_s: float = CONTROL_TIMEOUT_S) -> None:
        await self._send(_Accepted(), "POST", path, body, timeout_s)

    async def _send(
        self,
        exchange: Exchange[_Value],
        method: str,
        path: str,
        body: object = None,
        timeout_s: float = CONTROL_TIMEOUT_S,
    ) -> _Value:
        content = msgspec.json.encode({} if body is None else body) if method == "POST" else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._transport.authority}\r\n"
        head += f"Content-Length: {len(content)}\r\n\r\n"
        return await self._transport.exchange(exchange, (head.encode() + content,), timeout_s)


class _Status(Exchange[int]):
    """Takes any answer."""

    def read(self, status: int, body: bytes, json_bytes: int | None) -> int:  # noqa: ARG002 - as of every exchange
        """The status itself."""
        return status


class _Accepted(Exchange[None]):
    """Asks for no more than a yes."""

    def read(self, status: int, body: bytes, json_bytes: int | None) -> None:  # noqa: ARG002
        """Raise the refusal, if it is one."""
        if status != OK:
            raise refused(status, body)


class _Json(Exchange[_Value], Generic[_Value]):
    """Reads an answer as a value."""

    def __init__(self, kind: Any) -> None:  # noqa: ANN401 - a type that msgspec knows, which Python can't say
        super().__init__()
        self._kind = kind

    def read(self, status: int, body: bytes, json_bytes: int | None) -> _Value:  # noqa: ARG002
        """The value."""
        if status != OK:
            raise refused(status, body)
        try:
            value: _Value = msgspec.json.decode(body, type=self._kind)
        except msgspec.MsgspecError as error:
            raise InferenceRejectedError(f"the answer can't be read: {error}") from error
        return value
