"""Open episodes over a camera's stops, starts, failures and removal."""

import asyncio
import contextlib
import datetime as dt
import threading
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from gateway.directory.memory import MemoryRuntimeDirectory
from gateway.domain.camera import Camera, CameraSettings, CameraState
from gateway.domain.capability import DEFAULT_ADAPTATION
from gateway.domain.clip import EncodedPacket, StreamFormat
from gateway.domain.clock import SystemClock
from gateway.domain.definitions import ZonePresence
from gateway.domain.frame import Frame
from gateway.domain.ports import Gate, Source
from gateway.domain.rule import Rule, RuleSettings
from gateway.domain.violation import ClipTaken, Evidence, ViolationClosed
from gateway.events.grants import GrantDigest
from gateway.metrics import Metrics
from gateway.pipeline import Pipeline, lifecycle
from gateway.pipeline.clips import MASKED
from gateway.pipeline.judge import Seen, Verdict
from gateway.rules.episode import EpisodeState, Hit, Phase
from gateway.rules.evaluate import RuleState, decode, encode
from gateway.rules.kind import SCENE, Nothing
from gateway.sources import open_source
from tests.support.pictures import CONTRACT, a_frame, people
from tests.support.records import MemoryEvidence, MemorySpool
from tests.support.violations import a_violation

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
KEY = ("yard", "rule-1")
RULE = Rule(id="rule-1", camera_id="yard", revision=1, settings=RuleSettings(name="nobody", definition=ZonePresence()))
EPISODE = EpisodeState(
    Phase.OPEN, NOON.timestamp(), NOON.timestamp() + 5, Hit("person", 0.9, (0.0, 0.0, 1.0, 1.0)), "violation-1"
)
OPEN = encode(RuleState(Nothing(), {SCENE: EPISODE}))


def a_camera(enabled: bool = True, seed: int = 1) -> Camera:
    settings = CameraSettings(name="yard", url=f"demo:?size=320x180&seed={seed}", model="people", enabled=enabled)
    return Camera(id="yard", settings=settings, created_at=NOON, updated_at=NOON)


@pytest.fixture
def spool() -> MemorySpool:
    """A spool that remembers an open violation."""
    remembered = MemorySpool([])
    remembered.states[KEY] = OPEN
    return remembered


@contextlib.asynccontextmanager
async def running(
    spool: MemorySpool, make_source: Callable[[str], Source] = lambda url: open_source(url, SystemClock())
) -> AsyncIterator[Pipeline]:
    clock = SystemClock()
    pipeline = Pipeline(
        spool=spool,
        evidence=MemoryEvidence([]),
        metrics=Metrics(),
        clock=clock,
        make_source=make_source,
        table=DEFAULT_ADAPTATION,
        heartbeat_interval_s=2,
        local_host_id="",
        directory=MemoryRuntimeDirectory(clock, expiry_s=6),
        on_recorded=lambda: None,
        grants=GrantDigest(),
        workers=1,
        direct_timeout_s=5,
    )
    started = asyncio.Event()
    task = asyncio.create_task(pipeline.run(started))
    await started.wait()
    try:
        yield pipeline
    finally:
        pipeline.stop()
        await task


def ends(spool: MemorySpool) -> list[tuple[str, dt.datetime]]:
    return [(record.id, record.ended_at) for record in spool.records if isinstance(record, ViolationClosed)]


@pytest.mark.parametrize("enabled", [True, False])
async def test_removing_a_camera_ends_what_it_had_open_also_while_it_is_disabled(spool: MemorySpool, enabled: bool):
    async with running(spool) as pipeline:
        await pipeline.apply_camera(a_camera(enabled), [RULE])
        await pipeline.remove_camera("yard")
        assert ends(spool) == [("violation-1", NOON + dt.timedelta(seconds=5))]
        assert spool.states == {}


async def test_a_camera_that_is_started_anew_goes_on_with_what_it_knew_last(spool: MemorySpool):
    async with running(spool) as pipeline:
        await pipeline.apply_camera(a_camera(seed=1), [RULE])
        first = pipeline._cameras["yard"]
        late = a_frame(1, NOON.timestamp() + 60)
        verdict = first.judge.judge(Seen(late, people(), CONTRACT, "triton", 0.01))
        await pipeline._frames.record(first, verdict)
        await pipeline._frames.record(first, Verdict())
        await pipeline.apply_camera(a_camera(seed=2), [RULE])
        assert pipeline._cameras["yard"] is not first
        await pipeline.remove_camera("yard")
    assert ends(spool) == [("violation-1", NOON + dt.timedelta(seconds=5))]


@pytest.mark.parametrize("enabled", [True, False])
async def test_a_rule_that_went_while_its_camera_was_not_running_ends_what_it_had_open(
    spool: MemorySpool, enabled: bool
):
    async with running(spool) as pipeline:
        await pipeline.apply_camera(a_camera(enabled), [])
        assert ends(spool) == [("violation-1", NOON + dt.timedelta(seconds=5))]
        assert spool.states == {}


async def test_a_disabled_rule_leaves_nothing_open_that_a_later_start_could_go_on_with(spool: MemorySpool):
    disabled = msgspec.structs.replace(RULE, settings=msgspec.structs.replace(RULE.settings, enabled=False))
    async with running(spool) as pipeline:
        await pipeline.apply_camera(a_camera(), [RULE])
        await pipeline.apply_camera(a_camera(), [disabled])
        assert ends(spool) == [("violation-1", NOON + dt.timedelta(seconds=5))]
        await pipeline.apply_camera(a_camera(enabled=False), [disabled])
        await pipeline.apply_camera(a_camera(enabled=False), [RULE])
        await pipeline.apply_camera(a_camera(), [RULE])
        assert RuleState(Nothing()) == decode(
            RULE.settings.definition, pipeline._cameras["yard"].judge.states()[RULE.id]
        )
    assert len(ends(spool)) == 1


async def test_a_rule_that_was_disabled_while_its_camera_was_not_running_ends_what_it_had_open(spool: MemorySpool):
    disabled = msgspec.structs.replace(RULE, settings=msgspec.structs.replace(RULE.settings, enabled=False))
    async with running(spool) as pipeline:
        await pipeline.apply_camera(a_camera(), [disabled])
        assert ends(spool) == [("violation-1", NOON + dt.timedelta(seconds=5))]
        assert spool.states == {}


async def test_disabling_a_camera_ends_what_it_has_open(spool: MemorySpool):
    """Nobody looks there any more: it would stay open, and its evidence be kept, for as long as the camera is off."""
    async with running(spool) as pipeline:
        await pipeline.apply_camera(a_camera(), [RULE])
        await pipeline.apply_camera(a_camera(enabled=False), [RULE])
        assert ends(spool) == [("violation-1", NOON + dt.timedelta(seconds=5))]
        await pipeline.apply_camera(a_camera(), [RULE])
        assert RuleState(Nothing()) == decode(
            RULE.settings.definition, pipeline._cameras["yard"].judge.states()[RULE.id]
        )
    assert len(ends(spool)) == 1


async def test_a_camera_stopped_while_frames_wait_for_their_verdicts_takes_nothing_else_with_it(spool: MemorySpool):
    async with running(spool) as pipeline:
        await pipeline.apply_camera(a_camera(), [RULE])
        camera = pipeline._cameras["yard"]
        seen = Seen(a_frame(1, NOON.timestamp() + 60), people(), CONTRACT, "triton", 0.01)
        async with camera.order:
            waiting = asyncio.create_task(pipeline._frames._judge(camera, seen, 0.0))
            stopping = asyncio.create_task(pipeline.apply_camera(a_camera(enabled=False), [RULE]))
            while "yard" in pipeline._cameras:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0)
        await waiting
        await stopping
        assert pipeline.fault() == ""
    assert spool.states == {}


class Broken:
    """A source with a bug."""

    def open(self, anchor_s: float) -> None:
        raise ZeroDivisionError("a bug")

    def read(self, gate: Gate | None = None) -> Frame | None:
        return None

    def close(self) -> None:
        """There is nothing to let go of."""


async def test_a_bug_in_what_reads_a_camera_refuses_it_alone_and_what_it_had_open_stays(
    spool: MemorySpool, caplog: pytest.LogCaptureFixture
):
    async with running(spool, lambda _: Broken()) as pipeline:
        await pipeline.apply_camera(a_camera(), [RULE])
        async with asyncio.timeout(10):
            while pipeline.camera_status("yard").state is not CameraState.REFUSED:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        assert pipeline.camera_status("yard").reason.startswith("internal error: ZeroDivisionError, see the")
        assert pipeline.fault() == ""
    assert "ZeroDivisionError: a bug" in caplog.text
    assert (ends(spool), spool.states) == ([], {KEY: OPEN})


class Hanging(Broken):
    """A source whose disk hangs."""

    def __init__(self) -> None:
        self.hangs, self.comes_back = threading.Event(), threading.Event()

    def open(self, anchor_s: float) -> None:
        """It hangs later."""

    def read(self, gate: Gate | None = None) -> Frame | None:
        self.hangs.set()
        assert self.comes_back.wait(60)
        return None


@pytest.mark.parametrize("change", ["the camera is stopped", "the gateway ends"])
async def test_a_camera_whose_disk_hangs_is_left_behind(
    spool: MemorySpool, monkeypatch: pytest.MonkeyPatch, change: str
):
    monkeypatch.setattr(lifecycle, "STOP_S", 0.05)
    source = Hanging()
    async with asyncio.timeout(30):
        async with running(spool, lambda _: source) as pipeline:
            await pipeline.apply_camera(a_camera(), [RULE])
            assert await asyncio.to_thread(source.hangs.wait, 10)
            if change == "the camera is stopped":
                await pipeline.apply_camera(a_camera(enabled=False), [RULE])
                assert pipeline.camera_status("yard").state is CameraState.DISABLED
    source.comes_back.set()
    assert bool(ends(spool)) == (change == "the camera is stopped")


@pytest.mark.parametrize("with_it", [{}, {"model": "others"}, {"url": "demo:?seed=2"}, {"enabled": False}])
async def test_a_mask_discards_the_clip_that_is_waited_for_whatever_else_is_changed_with_it(
    spool: MemorySpool, with_it: dict[str, object]
):
    camera = a_camera()
    masked = {"masks": (((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)),), **with_it}
    async with running(spool) as pipeline:
        await pipeline.apply_camera(camera, [RULE])
        films = pipeline._cameras["yard"]
        for number in range(20):
            time_s = NOON.timestamp() + number / 10
            films.ring.put(StreamFormat("mjpeg", (64, 48)), EncodedPacket(b"x", time_s, time_s, is_key=True))
        seen = Seen(a_frame(1, NOON.timestamp() + 1), people(), CONTRACT, "triton", 0.01)
        await pipeline._frames.record(films, Verdict(opened=(a_violation(started_at=NOON),)), seen)
        changed = msgspec.structs.replace(camera.settings, **masked)
        await pipeline.apply_camera(msgspec.structs.replace(camera, settings=changed), [RULE])
        films.ring.settle()
    assert [record.clip for record in spool.records if isinstance(record, ClipTaken)] == [
        Evidence(missing_reason=MASKED)
    ]


async def test_changed_clip_lengths_hold_for_a_camera_that_runs(spool: MemorySpool):
    camera = a_camera()
    off = msgspec.structs.replace(camera.settings, clip_before_s=0, clip_after_s=0)
    async with running(spool) as pipeline:
        await pipeline.apply_camera(camera, [RULE])
        ring = pipeline._cameras["yard"].ring
        await pipeline.apply_camera(msgspec.structs.replace(camera, settings=off), [RULE])
        assert pipeline._cameras["yard"].ring is ring, "the camera goes on"
        for number in range(20):
            ring.put(StreamFormat("h264", (64, 48)), EncodedPacket(b"x", number / 10, number / 10, is_key=True))
        assert ring.size_bytes == 1
