"""One run of tritonserver: started under its keeper, watched until it is ready, ended without leftovers."""

import asyncio
import contextlib
import errno
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence

from triton_agent import keeper
from triton_agent.errors import PortTakenError
from triton_agent.logs import Level, Log
from triton_agent.settings import Endpoint
from triton_agent.triton_api import TritonApi

READY_POLL_S = 0.03
PROBE_INTERVAL_S = 1.0
PROBES_MISSED = 3  # in a row: it hangs; with the limits of the probes, 9 s after the last answer
STOP_GRACE_S = 5.0
FLUSH_S = 0.3  # for the last answers to leave the server's sockets
LINE_LIMIT = 1 << 20
IDLE = "All models are stopped"  # tritonserver's word that nothing is in flight; what follows takes it 3 s more
REASONS_KEPT = 5


class TritonServer:
    """A running tritonserver, made by `start`; it cleans up after itself however it ends.

    Args:
        process: The keeper, which ends when tritonserver does.
        log: Where tritonserver's lines go.
        region_prefix: Beginning of the names of its shared-memory regions.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Log, region_prefix: str) -> None:
        assert process.stdin is not None
        self._lifeline = process.stdin  # see `keeper`: a byte asks, the end of file kills
        self._process = process
        self._log = log
        self._region_prefix = region_prefix
        self._idle = asyncio.Event()
        self._reasons: deque[str] = deque(maxlen=REASONS_KEPT)
        self._ended = asyncio.create_task(self._run())

    @classmethod
    async def start(
        cls, command: Sequence[str], environment: Mapping[str, str], log: Log, region_prefix: str
    ) -> "TritonServer":
        """Start tritonserver in a session of its own.

        Args:
            command: Executable and arguments.
            environment: Variables on top of this process's.
            log: Where its lines go.
            region_prefix: As in `command`, for the clean-up.
        """
        process = subprocess.Popen(  # noqa: ASYNC220 # a millisecond; asyncio's own wait hangs while a stub holds the pipe
            [sys.executable, "-I", "-S", keeper.__file__, region_prefix, *command],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        return cls(process, log, region_prefix)

    @property
    def reason(self) -> str:
        """What tritonserver said last about errors, for the person who has to do something about them."""
        return "; ".join(self._reasons)

    async def wait(self) -> int:
        """Wait for the end, with everything cleaned up; returns the exit status, 128 + N for signal N."""
        return await asyncio.shield(self._ended)

    async def wait_ready(self, api: TritonApi) -> bool:
        """Wait until it serves; False if it ended instead."""
        while not self._ended.done():
            if await asyncio.to_thread(api.ready):
                return True
            await asyncio.wait([self._ended], timeout=READY_POLL_S)
        return False

    async def wait_broken(self, api: TritonApi) -> str:
        """Wait until it can't do its work any more although it runs; returns what is wrong with it.

        Either it has left several probes in a row unanswered, or a process of one of its models has died: Triton never
        replaces that, and fails every request that comes its way.
        """
        missed = 0
        dead: set[int] = set()
        while missed < PROBES_MISSED:
            await asyncio.sleep(PROBE_INTERVAL_S)
            before, dead = dead, dead_stubs(self._process.pid)
            if before & dead:  # Triton has had the time to collect one that it killed itself
                return "a process of a model died"
            missed = 0 if await asyncio.to_thread(api.alive) else missed + 1
        return "it does not answer"

    def kill(self) -> None:
        """Have it killed at once; `wait` returns when nothing of it is left."""
        self._lifeline.close()

    async def stop(self) -> int:
        """Let requests in flight finish, for `STOP_GRACE_S` at most, then end it; returns the exit status."""
        if self._lifeline.closed:
            return await self.wait()
        with contextlib.suppress(BrokenPipeError):
            self._lifeline.write(b"T")
        idle = asyncio.create_task(self._idle.wait())
        await asyncio.wait([self._ended, idle], timeout=STOP_GRACE_S, return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        await asyncio.wait([self._ended], timeout=FLUSH_S)
        self.kill()
        return await self.wait()

    async def _run(self) -> int:
        """See it through to its end, then make sure of what the keeper may not have lived to do."""
        reading = asyncio.create_task(self._read_output())
        status = await asyncio.to_thread(self._process.wait)
        keeper.kill_session(self._process.pid)
        keeper.remove_regions(self._region_prefix)
        await reading
        return status if status >= 0 else 128 - status

    async def _read_output(self) -> None:
        reader = asyncio.StreamReader(limit=LINE_LIMIT)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), self._process.stdout)
        rest = b""
        while chunk := await reader.read(LINE_LIMIT):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._note(line.decode(errors="replace"))
            if len(rest) > LINE_LIMIT:
                self._note(rest.decode(errors="replace"))
                rest = b""
        self._note(rest.decode(errors="replace"))
        transport.close()

    def _note(self, line: str) -> None:
        """Fold one line of output into the log, and remember what matters later."""
        level, message = self._log.triton(line)
        if IDLE in message:
            self._idle.set()
        if level >= Level.ERROR or message.startswith("error:"):
            self._reasons.append(message)


def dead_stubs(keeper_pid: int) -> set[int]:
    """Ids of the children of a keeper's tritonserver that have failed or were killed, and were not collected.

    Stubs of unloaded models end with status 0, and may wait for seconds until Triton collects them.
    """
    found: set[int] = set()
    for pid in keeper.process_ids():
        with contextlib.suppress(ProcessLookupError):
            state, parent, _, session, *rest = keeper.process_stat(pid)
            failed = state == "Z" and rest[-1] != "0"  # exit_code, field 52 and last
            if failed and int(session) == keeper_pid and int(keeper.process_stat(int(parent))[1]) == keeper_pid:
                found.add(pid)
    return found


def check_ports(endpoint: Endpoint) -> None:
    """Make sure, before anything is started, that tritonserver will get its ports.

    Raises:
        PortTakenError: One is in use; the message names it and the option that chooses another.
    """
    for option, port in endpoint.ports.items():
        family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((endpoint.host, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise PortTakenError(f"can't listen on {endpoint.host}:{port}: {error.strerror}") from error
                raise PortTakenError(
                    f"port {port} on {endpoint.host} is already in use: "
                    f"stop what holds it, or choose another with --{option}"
                ) from error
