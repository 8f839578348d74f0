"""What `CameraLeases` promises: for the one gateway on SQLite, for replicas on PostgreSQL and behind PgBouncer."""

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from piccolo.querystring import QueryString

from gateway.domain.camera import Camera, CameraSettings
from gateway.domain.definitions import ZonePresence
from gateway.domain.event import GrantChanged
from gateway.domain.lease import CameraStates, Taken
from gateway.domain.ports import CameraLeases
from gateway.domain.rule import RuleSettings
from gateway.errors import ConfigurationError
from gateway.store import postgres_engine
from gateway.store.database_errors import FOREIGN_ERRORS
from gateway.store.engine import lock_until_commit, make_engine
from gateway.store.leases import PostgresLeases, lock_leases
from gateway.store.migrate import migrate
from gateway.store.outbox import OUTBOX_LOCK
from gateway.store.piccolo_store import PiccoloStore
from gateway.store.sole import SoleOwner
from tests.support.postgres import PGBOUNCER

YARD = CameraSettings(name="yard", url="push:", model="people")
RULE = RuleSettings(name="nobody", definition=ZonePresence())
GRANT = GrantChanged(camera_id="yard", model="people", wanted_fps=5.0, granted_fps=5.0, runtime_id="r", reason="")
LEASE_S = 0.5
SHARED = ["postgres", pytest.param("pgbouncer", marks=pytest.mark.slow)]
REPLICAS = pytest.mark.parametrize("store", SHARED, indirect=True)
"""For what a gateway on SQLite, which is alone, can't meet."""

Replica = Callable[[str], CameraLeases]


@pytest.fixture(params=["sqlite", *SHARED])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[PiccoloStore]:
    with contextlib.ExitStack() as stack:
        url = None
        if request.param == "pgbouncer":
            if not PGBOUNCER:
                pytest.skip("PgBouncer isn't installed")
            url = stack.enter_context(request.getfixturevalue("postgres").pooled())
        elif request.param == "postgres":
            url = request.getfixturevalue("postgres").new_database()
        engine = make_engine(url, tmp_path, pool_size=4)
        await migrate(engine)
        opened_store = await PiccoloStore.open(engine)
        yield opened_store
        await opened_store.close()


@pytest.fixture
def replica(store: PiccoloStore) -> Replica:
    """Makes the leases of a replica by its name."""
    if store.engine.engine_type == "sqlite":
        return lambda name: SoleOwner(store, name)
    return lambda name: PostgresLeases(store.engine, name, LEASE_S)


async def cameras(store: PiccoloStore, number: int) -> list[Camera]:
    return [await store.create_camera(YARD) for _ in range(number)]


async def test_a_look_shows_this_replica_and_every_camera(store: PiccoloStore, replica: Replica) -> None:
    first, second = await cameras(store, 2)
    await store.update_camera(second.id, msgspec.structs.replace(YARD, enabled=False))
    look = await replica("anna").look()
    assert look.replicas == ("anna",)
    assert [(h.camera_id, h.owner, h.enabled) for h in look.holdings] == [
        (first.id, None, True),
        (second.id, None, False),
    ]


async def test_what_was_taken_is_held_until_it_is_released(store: PiccoloStore, replica: Replica) -> None:
    (camera,) = await cameras(store, 1)
    anna = replica("anna")
    await anna.look()
    (taken,) = await anna.take({camera.id: 0})
    assert (taken.camera_id, taken.states) == (camera.id, None)
    (held,) = (await anna.look()).holdings
    assert (held.owner, held.epoch) == ("anna", taken.epoch)
    await anna.release(camera.id, taken.epoch)
    assert (await anna.look()).holdings[0].owner is None


async def test_a_changed_camera_has_another_revision(store: PiccoloStore, replica: Replica) -> None:
    (camera,) = await cameras(store, 1)
    anna = replica("anna")
    revisions = {(await anna.look()).holdings[0].revision}
    await store.update_camera(camera.id, msgspec.structs.replace(YARD, fps=1))
    revisions.add((await anna.look()).holdings[0].revision)
    assert len(revisions) == 2


@REPLICAS
async def test_a_changed_rule_changes_its_cameras_revision(store: PiccoloStore, replica: Replica) -> None:
    camera, _ = await cameras(store, 2)
    anna = replica("anna")
    revisions = [(await anna.look()).holdings]
    rule = await store.create_rule(camera.id, RULE)
    revisions.append((await anna.look()).holdings)
    await store.update_rule(camera.id, rule.id, RULE)
    revisions.append((await anna.look()).holdings)
    await store.delete_rule(camera.id, rule.id)
    revisions.append((await anna.look()).holdings)
    assert len({each[0].revision for each in revisions[:3]}) == 3
    assert revisions[3] == revisions[0]
    assert len({each[1].revision for each in revisions}) == 1


@REPLICAS
async def test_of_several_who_take_one_gets_each_camera(store: PiccoloStore, replica: Replica) -> None:
    wanted = {camera.id: 0 for camera in await cameras(store, 20)}
    replicas = [replica(name) for name in ("anna", "ben", "cleo")]
    for each in replicas:
        await each.look()
    got = await asyncio.gather(*(each.take(wanted) for each in replicas))
    assert sorted(taken.camera_id for each in got for taken in each) == sorted(wanted)


@REPLICAS
async def test_nobody_takes_what_a_living_replica_has(store: PiccoloStore, replica: Replica) -> None:
    (camera,) = await cameras(store, 1)
    anna, ben = replica("anna"), replica("ben")
    await anna.look()
    await anna.take({camera.id: 0})
    for _ in range(4):
        await asyncio.sleep(LEASE_S / 3)
        await anna.look()
        assert (await ben.look()).holdings[0].owner == "anna"
        assert list(await ben.take({camera.id: 0})) == []


@REPLICAS
async def test_the_cameras_of_a_replica_that_says_nothing_are_free_once_its_lease_has_passed(
    store: PiccoloStore, replica: Replica
) -> None:
    (camera,) = await cameras(store, 1)
    anna, ben = replica("anna"), replica("ben")
    await anna.look()
    (first,) = await anna.take({camera.id: 0})
    await asyncio.sleep(LEASE_S)
    look = await ben.look()
    assert look.replicas == ("ben",)
    (second,) = await ben.take({camera.id: 0})
    assert second.epoch == first.epoch + 1
    back = await anna.look()
    assert back.replicas == ("anna", "ben")
    assert (back.holdings[0].owner, back.holdings[0].epoch) == ("ben", second.epoch)
    await anna.release(camera.id, first.epoch)
    assert (await anna.look()).holdings[0].owner == "ben"


@REPLICAS
async def test_a_replica_that_leaves_frees_its_cameras_at_once(store: PiccoloStore, replica: Replica) -> None:
    (camera,) = await cameras(store, 1)
    anna, ben = replica("anna"), replica("ben")
    await anna.look()
    await anna.take({camera.id: 0})
    await anna.leave()
    look = await ben.look()
    assert (look.replicas, look.holdings[0].owner) == (("ben",), None)


@REPLICAS
async def test_states_go_with_the_camera_and_those_of_an_earlier_owner_have_no_effect(
    store: PiccoloStore, replica: Replica
) -> None:
    (camera,) = await cameras(store, 1)
    anna, ben = replica("anna"), replica("ben")
    await anna.look()
    (first,) = await anna.take({camera.id: 0})
    kept = CameraStates(camera_id=camera.id, epoch=first.epoch, version=1, states={"rule": b'{"a":"\\u0000"}'})
    await store.apply([], [kept])
    await anna.leave()
    await ben.look()
    (second,) = await ben.take({camera.id: 0})
    assert second.states == kept.states
    await store.apply([], [msgspec.structs.replace(kept, states={"rule": b"{}"})])
    await ben.leave()
    await anna.look()
    (third,) = await anna.take({camera.id: first.epoch})
    assert third.states == kept.states


@REPLICAS
async def test_who_takes_a_camera_again_that_nobody_had_meanwhile_goes_on_under_its_epoch(
    store: PiccoloStore, replica: Replica
) -> None:
    (camera,) = await cameras(store, 1)
    anna = replica("anna")
    await anna.look()
    (first,) = await anna.take({camera.id: 0})
    again = replica("anna")
    assert (await again.look()).holdings[0].owner == "anna"
    assert [(t.epoch, t.states) for t in await again.take({camera.id: first.epoch})] == [(first.epoch, None)]
    (forgotten,) = await again.take({camera.id: 0})
    assert (forgotten.epoch, forgotten.states) == (first.epoch + 1, {})


@REPLICAS
async def test_two_gateways_of_one_name_are_found_out(replica: Replica) -> None:
    first, second = replica("anna"), replica("anna")
    await first.look()
    await second.look()
    with pytest.raises(ConfigurationError, match="RUTH_AI_REPLICA"):
        await first.look()


@REPLICAS
async def test_a_deleted_camera_is_there_until_its_owner_forgets_it(store: PiccoloStore, replica: Replica) -> None:
    (camera,) = await cameras(store, 1)
    anna = replica("anna")
    await anna.look()
    (taken,) = await anna.take({camera.id: 0})
    await anna.forget(camera.id, taken.epoch)
    assert len((await anna.look()).holdings) == 1, "it is still on record"
    await store.delete_camera(camera.id)
    assert (await anna.look()).holdings[0].revision is None
    await anna.forget(camera.id, taken.epoch)
    assert (await anna.look()).holdings == ()


@REPLICAS
async def test_who_is_back_within_its_lease_frees_what_its_earlier_life_had_locked(
    store: PiccoloStore, replica: Replica
) -> None:
    (camera,) = await cameras(store, 1)
    lost = PostgresLeases(store.engine, "anna", 600.0)
    await lost.look()
    (first,) = await lost.take({camera.id: 0})
    with contextlib.suppress(*FOREIGN_ERRORS):
        async with store.engine.transaction():
            await lock_leases(store.engine, [camera.id])
            await lock_until_commit(store.engine, OUTBOX_LOCK)
            await asyncio.sleep(1.1)
            taken = await asyncio.create_task(_take_anew(replica("anna"), camera.id), context=contextvars.Context())
    assert [each.epoch for each in taken] == [first.epoch + 1]
    assert await store.record_grants([GRANT])


@REPLICAS
async def test_a_backup_that_reads_goes_on_when_a_replica_joins(store: PiccoloStore, replica: Replica) -> None:
    (camera,) = await cameras(store, 1)
    await replica("anna").look()
    async with store.engine.transaction():
        read = "SELECT camera_id FROM camera_lease"
        await store.engine.run_querystring(QueryString(read))
        await asyncio.sleep(1.1)
        await asyncio.create_task(replica("ben").look(), context=contextvars.Context())
        (row,) = await store.engine.run_querystring(QueryString(read))
        assert row["camera_id"] == camera.id


@REPLICAS
async def test_a_transaction_whose_gateway_falls_silent_is_ended_by_the_server(
    store: PiccoloStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(postgres_engine, "IDLE_TIMEOUT_S", 0.2)
        with pytest.raises(FOREIGN_ERRORS):
            await _lock_and_be_silent_for(0.6, store)
    assert await store.record_grants([GRANT])
    (row,) = await store.engine.run_querystring(QueryString("SHOW idle_in_transaction_session_timeout"))
    assert [*row.values()] == ["0"], "it goes with the transaction"


async def _lock_and_be_silent_for(seconds: float, store: PiccoloStore) -> None:
    async with store.engine.transaction():
        await lock_until_commit(store.engine, OUTBOX_LOCK)
        await asyncio.sleep(seconds)


async def _take_anew(leases: CameraLeases, camera_id: str) -> Sequence[Taken]:
    """Join and take, as often as it may take until the server has ended a connection."""
    for _ in range(50):
        await leases.look()
        if taken := await leases.take({camera_id: 0}):
            return taken
        await asyncio.sleep(0.02)
    return []
