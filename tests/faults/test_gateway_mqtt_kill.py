"""A gateway that is killed while it sends to an MQTT broker: every event arrives, and all are told that it is gone."""

import random
import time
from pathlib import Path

from gateway.delivery.mqtt import WINDOW
from gateway.domain.clock import SystemClock
from gateway.domain.violation import ViolationOpened
from gateway.store.spool import SqliteSpool
from tests.support.api_app import a_violation
from tests.support.mqtt_broker import Listener, listening, private_broker
from tests.support.scripted_gateway import ScriptedGateway, scripted_gateway
from tests.support.triton_server import eventually

KILLS, EVENTS_EACH = 3, WINDOW + 10  # the cursor moves twice at least
STATUS = "ruth_ai/status"


async def test_no_event_is_lost_when_the_gateway_is_killed_between_the_broker_and_its_cursor(tmp_path: Path) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    chance = random.Random(seed)
    with private_broker(tmp_path / "broker") as broker, listening(broker) as listener:
        with scripted_gateway(tmp_path / "gateway", broker.env) as gateway:
            _begin(gateway, listener)
            expected: list[str] = []
            for _ in range(KILLS):
                expected += await _spool(gateway.data_dir)
                gateway.start("before cursor", chance.randint(1, 2))
                eventually(lambda: not gateway.alive, 30)
                eventually(lambda: listener.retained[STATUS] == b"offline", 5)
            gateway.start()
            eventually(lambda: len(set(listener.numbers())) == KILLS * EVENTS_EACH, 30)
            eventually(lambda: listener.retained[STATUS] == b"online", 5)
        eventually(lambda: listener.retained[STATUS] == b"offline", 5)
    came = [each.json["payload"]["id"] for each in listener.events()]
    assert list(dict.fromkeys(came)) == expected
    assert KILLS <= len(came) - len(expected) <= KILLS * (2 * WINDOW + 1), "what had been sent comes again, in bounds"
    print(f"{len(expected)} events, {len(came) - len(expected)} came once more, {KILLS} kills")


def _begin(gateway: ScriptedGateway, listener: Listener) -> None:
    """Let it be known to the broker: what happens from now on is sent."""
    gateway.start()
    eventually(lambda: listener.retained.get(STATUS) == b"online", 30)
    assert gateway.request("GET", "/api/v1/health")[1]["components"]["mqtt"]["status"] == "healthy"
    gateway.kill()


async def _spool(data_dir: Path) -> list[str]:
    """Leave violations in the spool, as a gateway that ended would; their ids."""
    violations = [a_violation() for _ in range(EVENTS_EACH)]
    async with await SqliteSpool.open(data_dir / "spool.db", clock=SystemClock()) as spool:
        await spool.commit([ViolationOpened(violation=violation) for violation in violations], {})
    return [violation.id for violation in violations]
