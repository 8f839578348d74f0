"""A follower sees every event once and in order, whatever the timing of writers, signals and readers."""

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.event import Event
from gateway.events.bus import MemoryEventBus
from gateway.events.follow import follow
from tests.support.events import event


class Outbox:
    """The part of a store that a follower reads, in memory, with numbers that may have gaps."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def events_after(self, number: int, limit: int) -> Sequence[Event]:
        await asyncio.sleep(0)
        return [item for item in self.events if item.number > number][:limit]

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
