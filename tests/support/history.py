"""What was shown, what was acknowledged and what is on record, and an independent judge of the three."""

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import asyncpg

Episode = tuple[str, str]
"""Camera id and label: each camera sees a label in one episode, however often it is shown."""


@dataclass(frozen=True)
class Stored:
    """A violation on record, and how often its beginning was told of."""

    id: str
    episode: Episode
    told: int = 1


class History:
    """A file of lines that outlives the process that writes it: each line is one write, appended.

    Args:
        path: The file; made where there is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)

    def shown(self, episode: Episode) -> None:
        """The camera is about to be sent a picture of it."""
        self._write("shown", *episode)

    def acknowledged(self, violation_id: str, episode: Episode) -> None:
        """The spool said that the violation is durable."""
        self._write("acknowledged", violation_id, *episode)

    def all_shown(self) -> set[Episode]:
        """Every episode that can be on record."""
        return {(camera, label) for camera, label in self._lines("shown")}

    def all_acknowledged(self) -> dict[str, Episode]:
        """Episode by violation id, of all that must be on record."""
        return {line[0]: (line[1], line[2]) for line in self._lines("acknowledged")}

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def _write(self, *words: str) -> None:
        os.write(self._descriptor, b"\n" + json.dumps(words).encode() + b"\n")

    def _lines(self, kind: str) -> Iterator[list[str]]:
        for line in self.path.read_text().splitlines():
            # A line that crosses pages of the file may be seen half written, and stays so where its writer was killed.
            words = json.loads(line) if line.endswith("]") else [""]
            if words[0] == kind:
                yield words[1:]


def faults(shown: Iterable[Episode], acknowledged: Iterable[str], stored: Iterable[Stored]) -> list[str]:
    """What is wrong, in words; empty when all that was acknowledged is on record, once, and nothing else.

    Every episode must have been shown once more after the last fault: one that isn't on record then was lost, or taken
    for a part of another.
    """
    rows, truth = list(stored), set(shown)
    ids = Counter(row.id for row in rows)
    episodes = Counter(row.episode for row in rows)
    return [
        *(f"lost: {each} was acknowledged" for each in sorted(set(acknowledged) - set(ids))),
        *(f"doubled: {each} is there {times} times" for each, times in ids.items() if times > 1),
        *(f"told {row.told} times: {row.id}" for row in rows if row.told != 1),
        *(f"invented: {each} was never shown" for each in sorted(set(episodes) - truth)),
        *(f"split: {each} is {times} violations" for each, times in episodes.items() if times > 1),
        *(f"missing or merged: {each}" for each in sorted(truth - set(episodes))),
    ]


def stored_in(database: Path) -> list[Stored]:
    """All violations of a gateway's SQLite database, read past the gateway."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(_STORED.format(id="payload ->> '$.id'")).fetchall()
    return [Stored(violation_id, (camera, label), told) for violation_id, camera, label, told in rows]


async def stored_at(url: str) -> list[Stored]:
    """All violations of a gateway's PostgreSQL database, read past the gateway."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(_STORED.format(id="payload ->> 'id'"))
    finally:
        await connection.close()
    return [Stored(row["id"], (row["camera_id"], row["label"]), row["told"]) for row in rows]


async def twins_at(url: str) -> dict[str, str]:
    """The violation that an id was merged into, of all that were, read past the gateway."""
    connection = await asyncpg.connect(url)
    try:
        return {row["id"]: row["violation_id"] for row in await connection.fetch("SELECT * FROM violation_twin")}
    finally:
        await connection.close()


_STORED = """
SELECT id, camera_id, label,
    (SELECT count(*) FROM outbox WHERE type = 'violation.opened' AND {id} = violation.id) AS told
FROM violation
"""
"""For SQLite and PostgreSQL; `id` is how a payload's id is written."""
