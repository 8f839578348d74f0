"""What a violation says of its clip, and what becomes of it."""

import asyncio
import errno
from collections.abc import Coroutine

import msgspec
import pytest

from gateway.domain.camera import CameraSettings
from gateway.domain.clip import EncodedPacket, Excerpt, StreamFormat
from gateway.domain.clock import SystemClock
from gateway.domain.definitions import AbandonedObject, Dwell, RuleDefinition, ZonePresence
from gateway.domain.rule import Rule, RuleSettings
from gateway.domain.violation import ClipTaken, Evidence
from gateway.pipeline import clips
from gateway.pipeline.clips import Clips, ring_for
from gateway.pipeline.recorder import Recorder
from gateway.sources.packets import PacketRing
from tests.support.records import MemoryEvidence, MemorySpool
from tests.support.violations import NOON, a_violation

SETTINGS = CameraSettings(name="yard", url="push:", model="people", clip_before_s=1, clip_after_s=1)
MASKS = (((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)),)
OPENED_S = NOON.timestamp()
MJPEG = StreamFormat("mjpeg", (64, 48))


def feed(ring: PacketRing, seconds: float) -> None:
    for number in range(round(seconds * 10)):
        time_s = number / 10
        ring.put(MJPEG, EncodedPacket(b"x", time_s, OPENED_S - 2 + time_s, is_key=True))


async def recorded(
    settings: CameraSettings, ring: PacketRing, *, later: CameraSettings | None = None, after_s: float = 4
) -> list[Evidence]:
    """What a violation says of its clip at first, and, where it changes, at last."""
    spool = MemorySpool([])
    current = [settings]
    async with asyncio.TaskGroup() as tasks:

        def spawn(work: Coroutine[None, None, None], name: str) -> None:
            tasks.create_task(work, name=name)

        taker = Clips(Recorder(spool, MemoryEvidence([])), SystemClock(), spawn, lambda: None)
        expected = taker.expected(settings, ring, OPENED_S)
        taker.take(a_violation(clip=expected), lambda: current[0], ring, OPENED_S)
        await asyncio.sleep(0)
        current[0] = later or settings
        feed(ring, after_s)
    return [expected, *(record.clip for record in spool.records if isinstance(record, ClipTaken))]


async def test_it_is_said_that_a_clip_is_being_recorded_and_then_why_there_is_none():
    ring = ring_for(SETTINGS)
    feed(ring, 1)
    first, last = await recorded(SETTINGS, ring)
    assert first.missing_reason.startswith("being recorded until 12:00:01 UTC")
    assert last == Evidence(missing_reason="the camera sends mjpeg, which browsers don't play")


@pytest.mark.parametrize(
    ("changes", "fed_s", "reason"),
    [
        ({"masks": MASKS}, 1, clips.MASKED),
        ({"clip_before_s": 0, "clip_after_s": 0}, 1, clips.SWITCHED_OFF),
        ({}, 0, clips.NO_STREAM),
    ],
)
async def test_where_there_will_be_none_the_violation_says_so_from_the_start(
    changes: dict[str, object], fed_s: float, reason: str
):
    settings = msgspec.structs.replace(SETTINGS, **changes)
    ring = ring_for(settings)
    feed(ring, fed_s)
    assert await recorded(settings, ring) == [Evidence(missing_reason=reason)]


async def test_a_mask_that_is_drawn_while_a_clip_is_waited_for_discards_it():
    ring = ring_for(SETTINGS)
    feed(ring, 1)
    masked = msgspec.structs.replace(SETTINGS, masks=MASKS)
    _, last = await recorded(SETTINGS, ring, later=masked)
    assert last == Evidence(missing_reason=clips.MASKED)


async def test_a_bug_in_what_makes_clips_costs_the_clip_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fails(_: Excerpt) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(clips, "remux", fails)
    ring = ring_for(SETTINGS)
    feed(ring, 1)
    _, last = await recorded(SETTINGS, ring)
    assert last == Evidence(missing_reason=clips.NOT_MADE)
    assert "Too many open files" in caplog.text


async def test_a_stream_that_stops_gives_what_it_brought(monkeypatch: pytest.MonkeyPatch):
    ring = ring_for(SETTINGS)
    monkeypatch.setattr(clips, "LATE_S", -0.9)
    feed(ring, 1)
    _, last = await recorded(SETTINGS, ring, after_s=0)
    assert "mjpeg" in last.missing_reason


@pytest.mark.parametrize("changes", [{"masks": MASKS}, {"clip_before_s": 0, "clip_after_s": 0}])
def test_a_stream_of_which_no_clip_is_cut_is_not_kept(changes: dict[str, object]):
    ring = ring_for(msgspec.structs.replace(SETTINGS, **changes))
    feed(ring, 10)
    assert ring.size_bytes == 1
    ring.keep(clips.ring_seconds(SETTINGS))
    feed(ring, 30)
    assert ring.size_bytes == (1 + 1 + clips.RING_EXTRA_S) * 10 + 1


def a_rule(definition: RuleDefinition, *, enabled: bool = True) -> Rule:
    settings = RuleSettings(name="a rule", definition=definition, enabled=enabled)
    return Rule(id=definition.type, camera_id="yard", revision=1, settings=settings)


@pytest.mark.parametrize("definition", [Dwell(), AbandonedObject(), ZonePresence(min_duration_s=120), ZonePresence()])
def test_the_beginning_is_kept_of_what_opens_only_after_a_while(definition: RuleDefinition):
    rules = [a_rule(ZonePresence()), a_rule(definition)]
    waits_s = definition.min_duration_s + definition.max_gap_s
    ring, excerpts = ring_for(SETTINGS, rules), list[Excerpt | None]()
    for number in range(round(10 * (waits_s + 60))):  # one picture in 50 is a key
        time_s = number / 10
        ring.put(MJPEG, EncodedPacket(b"x", time_s, time_s, is_key=number % 50 == 0))
    ring.request(60 - SETTINGS.clip_before_s, 60 + waits_s - 1, excerpts.append)
    (excerpt,) = excerpts
    assert excerpt is not None
    assert excerpt.packets[0].time_s <= 60 - SETTINGS.clip_before_s
    assert excerpt.missing_reason == ""


def test_a_rule_that_is_switched_off_keeps_nothing_longer():
    rules = [a_rule(Dwell(min_duration_s=600), enabled=False)]
    assert clips.ring_seconds(SETTINGS, rules) == clips.ring_seconds(SETTINGS) == 2 + clips.RING_EXTRA_S
