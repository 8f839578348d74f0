"""One Unix socket per model: the server of `messages`."""

import asyncio
import contextlib
import logging
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from gateway.domain.ports import Control
from gateway.errors import ConfigurationError, InvalidInputError, RuthError
from gateway.ipc.frames import read_frame
from gateway.ipc.messages import InferenceResponse, decode, describe, receive, send
from gateway.masking import mask_secrets

_logger = logging.getLogger(__name__)

LOOK_S = 1.0
MESSAGE_TIMEOUT_S = 10.0
MAX_CONNECTIONS = 64
"""Connections that may be open to one model's socket."""

MODE = 0o660
MAX_PATH_BYTES = 107


@dataclass(frozen=True, slots=True, eq=False)
class _Listening:
    server: asyncio.Server
    path: Path
    inode: int


class ModelSockets:
    """Listens on `vas_model_<name>.sock` for each model that frames can be scheduled to, from when it is first loaded.

    Requests stand for themselves: of different models, cameras and connections, and in any order; nothing is kept.

    Args:
        directory: Where the sockets are.
        control: Asked for models and detections.
        message_timeout_s: A connection on which no whole message comes for so long is closed.
    """

    def __init__(self, directory: Path, control: Control, message_timeout_s: float = MESSAGE_TIMEOUT_S) -> None:
        self._directory = directory
        self._control = control
        self._message_timeout_s = message_timeout_s
        self._listening: dict[str, _Listening] = {}
        self._refused: dict[str, str] = {}
        self._connections: dict[asyncio.Task[None], str] = {}

    async def run(self) -> None:
        """Serve until cancelled; the sockets are removed then."""
        try:
            while True:
                for status in self._control.models():
                    if status.contract is not None and status.name not in self._listening:
                        await self._listen(status.name)
                await asyncio.sleep(LOOK_S)
        finally:
            await self._close()

    async def _listen(self, model: str) -> None:
        path = self._directory / f"vas_model_{model}.sock"
        try:
            bound = bind(path)
        except (ConfigurationError, OSError) as error:  # this model's alone; the others are served
            if self._refused.get(model) != str(error):
                self._refused[model] = str(error)
                _logger.error("no socket for a model", extra={"model": model, "reason": str(error)})  # noqa: TRY400
            return
        server = await asyncio.start_unix_server(lambda reader, writer: self._serve(model, reader, writer), sock=bound)
        self._listening[model] = _Listening(server, path, path.stat().st_ino)
        _logger.info("model socket open", extra={"model": model, "path": str(path)})

    async def _serve(self, model: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests, one after the other, until its client closes it."""
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = model
        try:
            await self._converse(model, reader, writer)
        except (EOFError, ConnectionError, TimeoutError):
            pass  # the client has gone, or reads no answers
        except asyncio.CancelledError:
            pass  # by `_close`, which waits for it; asyncio's streams would take it for a failure
        finally:
            del self._connections[task]
            writer.close()

    async def _converse(self, model: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if sum(of == model for of in self._connections.values()) > MAX_CONNECTIONS:
            await self._refuse(model, writer, f"{MAX_CONNECTIONS} connections of {model} are open already; close some")
            return
        try:
            while (content := await self._next(reader)) is not None:
                await self._send(writer, await self._answer(model, content))
        except InvalidInputError as error:  # where the next message begins can't be known any more
            await self._refuse(model, writer, str(error))

    async def _next(self, reader: asyncio.StreamReader) -> bytes | None:
        try:
            async with asyncio.timeout(self._message_timeout_s):
                return await receive(reader)
        except TimeoutError as error:
            raise InvalidInputError(f"no whole message came within {self._message_timeout_s:g} s") from error

    async def _send(self, writer: asyncio.StreamWriter, response: InferenceResponse) -> None:
        async with asyncio.timeout(self._message_timeout_s):
            await send(writer, response)

    async def _refuse(self, model: str, writer: asyncio.StreamWriter, reason: str) -> None:
        await self._send(writer, InferenceResponse(model_id=model, error=reason))

    async def _answer(self, model: str, content: bytes) -> InferenceResponse:
        try:
            request = decode(content)
        except InvalidInputError as error:
            return InferenceResponse(model_id=model, error=str(error))
        try:
            if request.model_id != model:
                raise InvalidInputError(f"this is the socket of model {model}, not of {request.model_id!r}")
            frame = await asyncio.to_thread(read_frame, request)
            return describe(request, frame, await self._control.infer(model, frame))
        except RuthError as error:
            return InferenceResponse(
                model_id=model,
                camera_id=request.camera_id,
                frame_id=request.frame_metadata.frame_id,
                error=mask_secrets(str(error)),
            )

    async def _close(self) -> None:
        for listening in self._listening.values():
            listening.server.close()
            with contextlib.suppress(FileNotFoundError):
                if listening.path.stat().st_ino == listening.inode:  # not another process's by now
                    listening.path.unlink()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)


def bind(path: Path) -> socket.socket:
    """Bind a socket that its user and group may use; one that a killed process has left is removed.

    Raises:
        ConfigurationError: Something else is in the way, or the path is too long.
        OSError: The folder can't be written to.
    """
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise ConfigurationError(f"{path} is too long for a socket ({MAX_PATH_BYTES} bytes); choose a shorter folder")
    _remove_stale(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(bound.fileno(), MODE)  # so that it is at no moment open to more than that
        bound.bind(str(path))
        path.chmod(MODE)  # the process's mask has taken some away
    except BaseException:
        bound.close()
        raise
    return bound


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigurationError(f"{path} is in the way of a model's socket; remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise ConfigurationError(f"{path} is in the way of a model's socket: {error}") from error
    raise ConfigurationError(f"another process serves {path}; end it, or choose another folder")
