"""Whatever happens in whatever order: what the spool said it kept is there, once, until it is acknowledged."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.store.spool import SqliteSpool
from tests.support.violations import opened

STATE_KEY = ("camera", "rule")


class SpoolMachine(RuleBasedStateMachine):
    """A spool beside a plain list of what it must hold."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.waiting: list[str] = []
        self.state: bytes | None = None
        self.crashes = 0
        self._open("spool.db")

    @rule(sizes=st.lists(st.integers(0, 4), min_size=1, max_size=5), state=st.binary(max_size=8))
    def commit_at_once(self, sizes: list[int], state: bytes) -> None:
        batches = [[opened() for _ in range(size)] for size in sizes]

        async def commit_all() -> None:
            await asyncio.gather(*(self.spool.commit(batch, {STATE_KEY: state}) for batch in batches))

        self.loop.run_until_complete(commit_all())
        self.waiting += [record.violation.id for batch in batches for record in batch]
        self.state = state

    @rule(limit=st.integers(1, 6))
    def acknowledge(self, limit: int) -> None:
        batch = self.loop.run_until_complete(self.spool.oldest(limit))
        if batch:
            self.loop.run_until_complete(self.spool.acknowledge(batch[-1][0]))
        self.waiting = self.waiting[len(batch) :]

    @rule()
    def forget(self) -> None:
        self.loop.run_until_complete(self.spool.forget_rule_states(*STATE_KEY))
        self.state = None

    @rule()
    def restart(self) -> None:
        self.loop.run_until_complete(self.spool.close())
        self._open(self.name)

    @rule()
    def crash(self) -> None:
        """Go on with the files as they are on disk at this moment, as after a kill; the old process's are abandoned."""
        folder = Path(self.folder.name)
        self.crashes += 1
        survivor = f"spool-{self.crashes}.db"
        for suffix in ("", "-wal"):
            source = folder / (self.name + suffix)
            if source.exists():
                (folder / (survivor + suffix)).write_bytes(source.read_bytes())
        self.loop.run_until_complete(self.spool.close())
        for suffix in ("", "-wal"):
            (folder / (self.name + suffix)).unlink(missing_ok=True)
        self._open(survivor)

    @invariant()
    def everything_kept_is_there_once(self) -> None:
        if not hasattr(self, "spool"):
            return
        kept = [record.violation.id for _, record in self.loop.run_until_complete(self.spool.oldest(10_000))]
        assert kept == self.waiting
        assert self.loop.run_until_complete(self.spool.depth()) == len(self.waiting)
        states = self.loop.run_until_complete(self.spool.load_rule_states())
        assert states == ({} if self.state is None else {STATE_KEY: self.state})

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            self.loop.run_until_complete(self.spool.close())
            self.loop.close()
            self.folder.cleanup()

    def _open(self, name: str) -> None:
        self.name = name
        self.spool = self.loop.run_until_complete(SqliteSpool.open(Path(self.folder.name) / name))


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
