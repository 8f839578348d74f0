"""What `EventBus` promises."""

import asyncio
import gc

import pytest

from gateway.events.bus import MemoryEventBus
from tests.support.events import event


@pytest.fixture
def bus() -> MemoryEventBus:
    return MemoryEventBus(capacity=4)


async def test_every_listener_gets_every_event_in_order(bus: MemoryEventBus) -> None:
    listeners = [bus.listen() for _ in range(3)]

    bus.publish([event(1), event(2)])
    bus.publish([event(3)])

    for listener in listeners:
        assert [(await anext(listener)).number for _ in range(3)] == [1, 2, 3]


async def test_listening_begins_with_the_call(bus: MemoryEventBus) -> None:
    bus.publish([event(1)])
    listener = bus.listen()
    bus.publish([event(2)])

    assert (await anext(listener)).number == 2


async def test_a_waiting_listener_is_woken(bus: MemoryEventBus) -> None:
    listener = bus.listen()
    waiting = asyncio.ensure_future(anext(listener))
    await asyncio.sleep(0)

    bus.publish([event(7)])

    assert (await waiting).number == 7


async def test_a_slow_listener_is_cut_off_and_the_others_go_on(bus: MemoryEventBus) -> None:
    slow, quick = bus.listen(), bus.listen()

    for number in range(1, 6):
        bus.publish([event(number)])
        assert (await anext(quick)).number == number

    with pytest.raises(StopAsyncIteration):
        await anext(slow)
    assert not bus.closed
    assert bus.statistics().cut_off == 1
    assert bus.statistics().listeners == 1


async def test_closing_ends_listeners_after_what_waits_for_them(bus: MemoryEventBus) -> None:
    listener = bus.listen()
    idle = asyncio.ensure_future(anext(bus.listen()))
    await asyncio.sleep(0)
    bus.publish([event(1)])
    await idle

    bus.close()
    bus.close()

    assert [item.number async for item in listener] == [1]
    assert [item async for item in bus.listen()] == []
    assert bus.closed


async def test_a_listener_that_is_dropped_costs_nothing_more(bus: MemoryEventBus) -> None:
    listener = bus.listen()
    assert bus.statistics().listeners == 1

    del listener
    gc.collect()

    assert bus.statistics().listeners == 0
