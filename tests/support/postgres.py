"""A private PostgreSQL server from the distribution's binaries, on a Unix socket in a temporary folder."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.support.triton_server import eventually

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin") or ""


class PrivatePostgres:
    """A server that can be stopped and started; makes fresh databases."""

    def __init__(self, folder: Path, *, synced: bool = False) -> None:
        self.folder = folder
        self._binaries = BINARIES[-1].parent
        self._user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self._numbers = count()
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        self._run("initdb", "-N", "-A", "trust", "-U", self._user, "-D", f"{folder}/data")
        # The server's own durability isn't what is tested; the first reply comes sooner.
        sync = "on" if synced else "off"
        settings = f"listen_addresses=''\nunix_socket_directories='{folder}'\nfsync={sync}\nmax_connections=40\n"
        with (folder / "data/postgresql.conf").open("a") as file:
            file.write(settings)

    def start(self) -> None:
        """Start and wait until it answers."""
        self._run("pg_ctl", "-w", "-D", f"{self.folder}/data", "-l", f"{self.folder}/log", "start")

    def stop(self) -> None:
        """Stop as a crash would."""
        self._run("pg_ctl", "-w", "-D", f"{self.folder}/data", "-m", "immediate", "stop")

    @contextmanager
    def pooled(self) -> Iterator[str]:
        """Run PgBouncer in transaction mode during the block; gives the URL, through it, of a new, empty database.

        Few connections to the server, and any of them for each transaction: what a client keeps in one is soon gone.
        """
        url = self.new_database()
        folder = self.folder / "bouncer"
        folder.mkdir(mode=0o777, exist_ok=True)
        folder.chmod(0o777)
        settings = self.folder / "bouncer.ini"
        settings.write_text(
            f"[databases]\n* = host={self.folder} user={self._user}\n[pgbouncer]\nlisten_addr=\n"
            f"unix_socket_dir={folder}\nauth_type=any\npool_mode=transaction\ndefault_pool_size=3\n"
            "max_client_conn=100\nserver_round_robin=1\n"
        )
        settings.chmod(0o644)
        process = subprocess.Popen(
            [PGBOUNCER, "-q", settings],
            user=self._user if os.geteuid() == 0 else None,
            cwd=self.folder,
            stderr=subprocess.DEVNULL,
        )
        try:
            eventually(lambda: _listens(folder / ".s.PGSQL.6432"), 10)
            yield url.replace(f"host={self.folder}", f"host={folder}&port=6432")
        finally:
            process.terminate()
            process.wait(10)

    def new_database(self) -> str:
        """URL of a new, empty database."""
        name = f"ruth{next(self._numbers)}"
        self._run("createdb", "-h", str(self.folder), "-U", self._user, name)
        return f"postgresql://{self._user}@/{name}?host={self.folder}"

    def _run(self, binary: str, *arguments: str) -> None:
        user = self._user if os.geteuid() == 0 else None
        subprocess.run(
            [self._binaries / binary, *arguments],
            check=True,
            cwd=self.folder,
            user=user,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )


def _listens(path: Path) -> bool:
    """Whether somebody does: a socket's file may be there before, or be left by an earlier one."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@contextmanager
def private_postgres(parent: Path | None = None, *, synced: bool = False) -> Iterator[PrivatePostgres]:
    """A running server, in a folder or among temporary files; skipped where none is installed, except in CI.

    Args:
        parent: The folder to make its own in.
        synced: Whether a commit waits for the disk, as it does where PostgreSQL isn't told otherwise.
    """
    if not BINARIES:
        message = "PostgreSQL's server binaries are not in /usr/lib/postgresql; install the package postgresql"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with tempfile.TemporaryDirectory(prefix="ruth-pg-", dir=parent) as folder:
        server = PrivatePostgres(Path(folder), synced=synced)
        server.start()
        try:
            yield server
        finally:
            server.stop()
