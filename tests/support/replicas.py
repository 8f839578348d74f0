"""Several scripted gateways on one PostgreSQL, and a watch over who writes what there."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg

from tests.support.history import Episode, History, faults, stored_at, twins_at
from tests.support.scripted_gateway import ScriptedGateway
from tests.support.scripted_model import LABELS
from tests.support.triton_server import eventually

LEASE_S = 3.0

WATCH = """
CREATE TABLE stale_write (what text, replica text, owner text, row text);
CREATE FUNCTION watch_lease() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.states IS DISTINCT FROM OLD.states AND NEW.owner <> current_setting('application_name') THEN
        INSERT INTO stale_write VALUES ('states', current_setting('application_name'), NEW.owner, NEW.camera_id);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER watch_lease AFTER UPDATE ON camera_lease FOR EACH ROW EXECUTE FUNCTION watch_lease();
CREATE FUNCTION watch_violation() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO stale_write SELECT 'violation', current_setting('application_name'), owner, NEW.id FROM camera_lease
    WHERE camera_id = NEW.camera_id AND owner <> current_setting('application_name') AND position(NEW.id in states) > 0
        AND (NEW.ended_at IS DISTINCT FROM OLD.ended_at OR NEW.score <> OLD.score
            OR NEW.frame_index <> OLD.frame_index OR NEW.epoch <> OLD.epoch);
    RETURN NEW;
END $$;
CREATE TRIGGER watch_violation AFTER UPDATE ON violation FOR EACH ROW EXECUTE FUNCTION watch_violation();
"""
"""Notes whoever changes what another replica owns: states of a camera's rules, or a violation that they hold open."""


class Replicas:
    """Gateways by name, one history, and the database behind them.

    Args:
        folder: Where their folders are made.
        url: URL of an empty database.
        names: Of the replicas, which are not started yet.
    """

    def __init__(self, folder: Path, url: str, names: Sequence[str]) -> None:
        self.url = url
        self.history = History(folder / "history.jsonl")
        self.gateways = {
            name: ScriptedGateway(
                folder / name,
                {
                    "DATABASE_URL": f"{url}&application_name={name}",
                    "RUTH_AI_REPLICA": name,
                    "RUTH_AI_LEASE_S": f"{LEASE_S:g}",
                },
                self.history,
                timeout_s=2.0,
            )
            for name in names
        }
        # One sequence of frame times for a camera, wherever its pictures go.
        frame_times = itertools.count(time.time())
        for gateway in self.gateways.values():
            gateway.share_frame_times(frame_times)

    def ask(self, statement: str, *parameters: object) -> list[Any]:
        """Rows of the database, read past the gateways."""

        async def fetch() -> list[Any]:
            connection = await asyncpg.connect(self.url)
            try:
                return list(await connection.fetch(statement, *parameters))
            finally:
                await connection.close()

        return asyncio.run(fetch())

    def watch(self) -> None:
        """Begin to note writes to what others own."""

        async def execute() -> None:
            connection = await asyncpg.connect(self.url)
            await connection.execute(WATCH)
            await connection.close()

        asyncio.run(execute())

    def stale_writes(self) -> list[Any]:
        """What `watch` has noted."""
        return self.ask("SELECT what, replica, owner, row FROM stale_write")

    def owners(self) -> dict[str, str | None]:
        """Name of each camera's owner, by the database."""
        return {row["camera_id"]: row["owner"] for row in self.ask("SELECT camera_id, owner FROM camera_lease")}

    def shares(self) -> dict[str, int]:
        """How many cameras each replica has, by the database."""
        found = [owner for owner in self.owners().values() if owner is not None]
        return {name: found.count(name) for name in self.gateways}

    def show(self, episode: Episode) -> bool:
        """Send a picture to the replica that the database names; whether it is looked at."""
        owner = self.owners().get(episode[0])
        return owner is not None and self.gateways[owner].show(episode)

    def show_until_seen(self, episode: Episode, timeout_s: float = 30.0) -> None:
        """Send pictures until some replica has looked at one to the end."""

        def inferred() -> int:
            views = [each.request("GET", f"/api/v1/cameras/{episode[0]}")[1] for each in self.gateways.values()]
            return max((view["status"]["frames_inferred"] for view in views if view), default=0)

        before = inferred()
        eventually(lambda: self.show(episode) and inferred() != before, timeout_s)

    def episodes(self, cameras: Sequence[str]) -> Iterator[Episode]:
        """New ones, of each camera in turn."""
        for label in LABELS:
            for camera in cameras:
                yield camera, label

    def judge(self, timeout_s: float = 60.0) -> list[str]:
        """Show everything once more; what the independent judge finds wrong then."""
        for episode in sorted(self.history.all_shown()):
            self.show_until_seen(episode)
        deadline_s = time.monotonic() + timeout_s
        while (wrong := self._wrong()) and time.monotonic() < deadline_s:
            on_record = {each.episode for each in asyncio.run(stored_at(self.url))}
            for episode in self.history.all_shown() - on_record:
                self.show_until_seen(episode)
        return wrong

    def _wrong(self) -> list[str]:
        stored, twins = asyncio.run(stored_at(self.url)), asyncio.run(twins_at(self.url))
        episodes = {each.id: each.episode for each in stored}
        acknowledged = {twins.get(each, each): episode for each, episode in self.history.all_acknowledged().items()}
        mixed = [
            f"merged into another episode: {violation_id}"
            for violation_id, episode in acknowledged.items()
            if violation_id in episodes and episodes[violation_id] != episode
        ]
        return mixed + faults(self.history.all_shown(), acknowledged, stored)


@contextlib.contextmanager
def replicas_on(folder: Path, url: str, *names: str) -> Iterator[Replicas]:
    """Replicas whose processes, where some run at the end, are killed."""
    replicas = Replicas(folder, url, names)
    try:
        yield replicas
    finally:
        for gateway in replicas.gateways.values():
            if gateway.alive:
                gateway.kill()
        replicas.history.close()
