"""A private PostgreSQL server from the distribution's binaries, on a Unix socket in a temporary folder."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


class PrivatePostgres:
    """A server that can be stopped and started; makes fresh databases."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._binaries = BINARIES[-1].parent
        self._user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self._numbers = count()
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        self._run("initdb", "-N", "-A", "trust", "-U", self._user, "-D", f"{folder}/data")
        # The server's own durability isn't what is tested; the first reply comes sooner.
        settings = f"listen_addresses=''\nunix_socket_directories='{folder}'\nfsync=off\nmax_connections=40\n"
        with (folder / "data/postgresql.conf").open("a") as file:
            file.write(settings)

    def start(self) -> None:
        """Start and wait until it answers."""
        self._run("pg_ctl", "-w", "-D", f"{self.folder}/data", "-l", f"{self.folder}/log", "start")

    def stop(self) -> None:
        """Stop as a crash would."""
        self._run("pg_ctl", "-w", "-D", f"{self.folder}/data", "-m", "immediate", "stop")

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


@contextmanager
def private_postgres(parent: Path | None = None) -> Iterator[PrivatePostgres]:
    """A running server, in a folder or among temporary files; skipped where none is installed, except in CI."""
    if not BINARIES:
        message = "PostgreSQL's server binaries are not in /usr/lib/postgresql; install the package postgresql"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with tempfile.TemporaryDirectory(prefix="ruth-pg-", dir=parent) as folder:
        server = PrivatePostgres(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
