"""Runs `ruth-convert onnx` on each file named on stdin, each in a child of its own, and prints what became of it.

A program of its own, because a test process has threads and must not fork. What the command line loads anyway is loaded
once, before the forks. A JSON line for each file; CPU seconds and peak memory are those of the child and of all the
children it waited for.
"""

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

from converters import cli, publish  # noqa: F401  # loaded before the forks


def main(repository: Path) -> None:
    """Convert each file into the repository under a name that its own gives."""
    for line in sys.stdin:
        path = Path(line.rstrip("\n"))
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            child = os.fork()
            if child == 0:
                os._exit(_converted(path, repository, out, err))
            _, status, usage = os.wait4(child, 0)
            out.seek(0)
            err.seek(0)
            result = {
                "file": path.name,
                "status": os.waitstatus_to_exitcode(status),
                "out": out.read(),
                "err": err.read(),
                "cpu_s": usage.ru_utime + usage.ru_stime,
                "peak_bytes": usage.ru_maxrss * 1024,
            }
        print(json.dumps(result), flush=True)


def _converted(path: Path, repository: Path, out: object, err: object) -> int:
    """Exit status of one command line; 99 for a traceback, which is a bug."""
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            arguments = ["onnx", str(path), "--name", path.stem, "--repository", str(repository), "--instances", "1"]
            status = cli.main([*arguments, "--json"])
        except BaseException as error:  # noqa: BLE001  # a bug is what the test looks for
            print(f"{type(error).__name__}: {error!r:.500}", file=sys.stderr)
            status = 99
        sys.stdout.flush()
        sys.stderr.flush()
    return status


if __name__ == "__main__":
    main(Path(sys.argv[1]))
