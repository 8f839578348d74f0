"""Commands as the documentation shows them, and a shell that runs them as a reader would.

A fenced block marked `console` holds commands behind `$ ` and, below each, the lines it prints. A command goes on over
the next line after a backslash, or until the closing word of a here-document. In what is printed `…` stands for
anything within a line, and a line of `…` alone for any number of lines. A comment `<!-- not run: reason -->` just
above a block keeps it from being run.
"""

import os
import re
import select
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_BLOCK = re.compile(r"^```console\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>[^>]+) -->\s*\Z")
_HERE_DOCUMENT = re.compile(r"<<-?\s*'?(?P<word>\w+)'?")
_PROMPT = "$ "
_END = "documented-command-ended"
COMMAND_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Command:
    """One command of a document.

    Attributes:
        place: `file:line`, for messages.
        text: What a reader would type, several lines perhaps.
        printed: What the document says it prints; empty where it says nothing.
    """

    place: str
    text: str
    printed: str


@dataclass(frozen=True)
class Block:
    """A console block: its commands, and why they are not run if they aren't."""

    commands: tuple[Command, ...]
    not_run: str | None


def blocks(document: Path) -> list[Block]:
    """The console blocks of a Markdown file, in order."""
    text = document.read_text(encoding="utf-8")
    found: list[Block] = []
    for match in _BLOCK.finditer(text):
        excuse = _NOT_RUN.search(text[: match.start()])
        first_line = text.count("\n", 0, match.start("body")) + 1
        commands = tuple(_commands(document.name, first_line, match["body"].splitlines()))
        found.append(Block(commands, excuse["reason"] if excuse else None))
    return found


def _commands(name: str, first_line: int, lines: list[str]) -> Iterator[Command]:
    starts = [index for index, line in enumerate(lines) if line.startswith(_PROMPT)]
    for start, following in zip(starts, [*starts[1:], len(lines)], strict=True):
        typed = _typed_lines(lines[start:following])
        text = "\n".join([lines[start].removeprefix(_PROMPT), *lines[start + 1 : start + typed]])
        yield Command(f"{name}:{first_line + start}", text, "\n".join(lines[start + typed : following]))


def _typed_lines(lines: list[str]) -> int:
    """How many of the lines belong to the command that the first one begins."""
    here = _HERE_DOCUMENT.search(lines[0])
    if here:
        return lines.index(here["word"]) + 1
    return 1 + next(index for index, line in enumerate(lines) if not line.endswith("\\"))


def prints_as_documented(printed: str, output: str) -> bool:
    """Whether an output is what a document says, `…` standing for anything."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "…" else re.escape(line).replace("…", "[^\n]*") + r"\s*?\n"
        for line in printed.strip("\n").split("\n")
    )
    return re.fullmatch(pattern, output.strip("\n") + "\n") is not None


class Shell:
    """One bash in one folder: what a command sets, the next one finds.

    Args:
        folder: Where it starts.
        env: Variables on top of this process's.
    """

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-o", "pipefail"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, **env},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bash.kill()
        self._bash.communicate()

    def run(self, command: str) -> tuple[int, str]:
        """Exit status and output, stdout and stderr together, of a command.

        Raises:
            AssertionError: It doesn't end within `COMMAND_TIMEOUT_S`, or ends the shell.
        """
        assert self._bash.stdin
        self._bash.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '\\n{_END} %d\\n' $?\n".encode())
        self._bash.stdin.flush()
        output, _, status = self._read_until_end(command).rpartition(f"\n{_END} ")
        return int(status), output

    def _read_until_end(self, command: str) -> str:
        assert self._bash.stdout
        deadline_s = time.monotonic() + COMMAND_TIMEOUT_S
        read = b""
        while not re.search(rb"\n%s \d+\n\Z" % _END.encode(), read):
            ready, _, _ = select.select([self._bash.stdout], [], [], max(0, deadline_s - time.monotonic()))
            chunk = os.read(self._bash.stdout.fileno(), 65536) if ready else b""
            assert chunk, f"no end of {command!r} after:\n{read.decode(errors='replace')}"
            read += chunk
        return read.decode(errors="replace")
