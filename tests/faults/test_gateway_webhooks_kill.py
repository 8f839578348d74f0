"""A gateway that is killed while it sends webhooks: every event arrives, whatever it was doing."""

import random
import time
from pathlib import Path

import pytest

from gateway.domain.clock import SystemClock
from gateway.domain.violation import ViolationOpened
from gateway.store.spool import SqliteSpool
from tests.support.api_app import a_violation
from tests.support.running_gateway import running_gateway
from tests.support.triton_server import eventually
from tests.support.webhook_receiver import Received, webhook_receiver

KILLS, EVENTS_EACH = 5, 20
ENV = {"RUTH_AI_WEBHOOK_NETWORKS": "127.0.0.0/8"}


async def _spool(data_dir: Path) -> list[str]:
    """Leave violations in the spool, as a gateway that ended would; their ids."""
    violations = [a_violation() for _ in range(EVENTS_EACH)]
    async with await SqliteSpool.open(data_dir / "spool.db", clock=SystemClock()) as spool:
        await spool.commit([ViolationOpened(violation=violation) for violation in violations], {})
    return [violation.id for violation in violations]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_no_event_is_lost_when_the_gateway_is_killed_while_it_sends(tmp_path: Path) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    chance = random.Random(seed)

    def answer(_: Received) -> int:
        time.sleep(0.01)
        return 204 if chance.random() < 0.9 else 500

    with webhook_receiver() as receiver:
        receiver.answer = answer
        with running_gateway(tmp_path, env=ENV) as gateway:
            gateway.post("/api/v1/webhooks", {"url": receiver.url, "secret": "known to both of us"})
        expected: list[str] = []
        for kill in range(KILLS + 1):
            expected += await _spool(tmp_path)
            with running_gateway(tmp_path, env=ENV) as gateway:
                if kill < KILLS:
                    some = len(receiver.requests) + chance.randint(1, EVENTS_EACH // 2)
                    eventually(lambda some=some: len(receiver.requests) >= some, 60)
                    gateway.process.kill()
                    gateway.process.wait()
                else:
                    receiver.answer = lambda _: 204
                    eventually(lambda: len(set(receiver.taken)) == (KILLS + 1) * EVENTS_EACH, 60)
    taken = [request.event.said()["id"] for request in receiver.requests if request.status < 300]
    assert list(dict.fromkeys(taken)) == expected
    print(f"{len(expected)} events, {len(taken) - len(expected)} of them twice, {KILLS} kills")
