"""A follower sees every event once and in order, whatever the timing of writers, signals and readers."""

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.event import Event, EventType
from gateway.events.bus import MemoryEventBus
from gateway.events.follow import follow
from tests.support.events import event, missed_event


class Outbox:
    """The part of a store that a follower reads, in memory, with numbers that may have gaps."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.trimmed = 0

    async def events_after(self, number: int, limit: int) -> Sequence[Event]:
        await asyncio.sleep(0)
        return [item for item in self.events if item.number > number][:limit]

    async def events_missed(self, after: int, before: int) -> Event | None:
        await asyncio.sleep(0)
        through = min(self.trimmed, before - 1)
        return missed_event(after, through) if through > after else None

    async def last_event_number(self) -> int:
        await asyncio.sleep(0)
        return self.events[-1].number if self.events else 0


Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["commit", "publish", "publish late", "read", "turn"]), st.integers(1, 5)), max_size=60
)


@settings(max_examples=150, deadline=None)
@given(before=st.integers(0, 450), after=st.none() | st.integers(0, 450), steps=STEPS, capacity=st.integers(1, 6))
async def test_no_gap_and_no_double(before: int, after: int | None, steps: list[Step], capacity: int) -> None:
    outbox, bus = Outbox(), MemoryEventBus(capacity)
    outbox.events = [event(number) for number in range(1, before + 1)]
    begin = before if after is None else min(after, before)
    follower = follow(outbox, bus, after=None if after is None else begin)  # type: ignore[arg-type]
    seen: list[int] = []

    async def read() -> None:
        async for item in follower:
            seen.append(item.number)
            await allowed.acquire()

    allowed = asyncio.Semaphore(0)
    reader = asyncio.create_task(read())
    for _ in range(4):  # the follower takes its place before anything new happens
        await asyncio.sleep(0)
    unsaid: list[Event] = []
    for action, size in steps:
        match action:
            case "commit":
                last = outbox.events[-1].number if outbox.events else 0
                unsaid += (new := [event(last + size + offset) for offset in range(size)])
                outbox.events += new
            case "publish":
                bus.publish(unsaid)
                unsaid = []
            case "publish late":
                bus.publish([unsaid.pop()] if unsaid else [])
            case "read":
                for _ in range(size):
                    allowed.release()
            case _:
                for _ in range(size):
                    await asyncio.sleep(0)

    expected = [item.number for item in outbox.events if item.number > begin]
    bus.publish(outbox.events[-1:])
    while len(seen) < len(expected):
        allowed.release()
        await asyncio.sleep(0)
        bus.publish(outbox.events[-1:])
    bus.close()
    allowed.release()
    await asyncio.wait_for(reader, timeout=10)

    assert seen == expected


TRIMS = st.lists(st.sampled_from(["commit", "trim", "read", "turn"]), max_size=60)


@settings(max_examples=100, deadline=None)
@given(before=st.integers(1, 420), after=st.integers(0, 420), steps=TRIMS)
async def test_what_was_trimmed_is_told_and_nothing_else_is_missing(before: int, after: int, steps: list[str]) -> None:
    outbox, bus = Outbox(), MemoryEventBus()
    outbox.events = [event(2 * number) for number in range(1, before + 1)]  # every other transaction failed
    begin = min(after, before) * 2
    committed = {each.number for each in outbox.events}
    follower = follow(outbox, bus, after=begin)  # type: ignore[arg-type]
    allowed, told = asyncio.Semaphore(0), list[Event]()

    async def read() -> None:
        async for item in follower:
            told.append(item)
            await allowed.acquire()

    reader = asyncio.create_task(read())
    for step in [*steps, "commit"]:
        last = outbox.events[-1].number
        if step == "commit":
            outbox.events.append(event(last + 2))
            committed.add(last + 2)
            bus.publish(outbox.events[-1:])
        elif step == "trim":
            gone = len(outbox.events) // 2
            outbox.trimmed = outbox.events[gone - 1].number if gone else outbox.trimmed
            outbox.events = outbox.events[gone:]
        elif step == "read":
            allowed.release()
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        while not told or told[-1].number < outbox.events[-1].number:
            allowed.release()
            await asyncio.sleep(0)
            bus.publish(outbox.events[-1:])
    bus.close()
    allowed.release()
    await reader

    numbers = [item.number for item in told]
    assert numbers == sorted(set(numbers))
    came = {item.number for item in told if item.type is not EventType.EVENTS_MISSED}
    gaps = [item.said() for item in told if item.type is EventType.EVENTS_MISSED]
    missed = {number for gap in gaps for number in range(gap["after"] + 1, gap["through"] + 1)}
    wanted = {number for number in committed if number > begin}
    assert wanted <= came | missed
    assert came <= wanted
    assert not came & missed
    assert all(number <= outbox.trimmed for number in missed)
