"""Clips of what happened: asked for when a violation opens, on record once they are complete."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence

from gateway.domain.camera import CameraSettings
from gateway.domain.clip import Excerpt
from gateway.domain.clock import Clock, from_unix
from gateway.domain.rule import Rule
from gateway.domain.violation import BEING_RECORDED, ClipTaken, Evidence, Violation, evidence_folder
from gateway.errors import StoreError
from gateway.evidence import remux
from gateway.pipeline.recorder import NOT_MADE, Recorder
from gateway.sources.packets import PacketRing

_logger = logging.getLogger(__name__)

RING_BYTES = 16 << 20
RING_EXTRA_S = 20.0
"""Kept at least beside what a clip shows."""

FIRST_PICTURE_S = 10.0
"""So much earlier may the picture lie that decoding begins with, and so late may a frame's verdict come."""

LATE_S = 10.0
"""A clip whose last pictures are later than this goes without them."""

NO_STREAM = "the camera sends single pictures, no stream that a clip could be cut from"
SWITCHED_OFF = "clips of this camera are switched off"
MASKED = "parts of the picture are masked, and the camera's own stream shows them"
LOST = "lost: the gateway ended while it was being recorded"
NOTHING_KEPT = "no picture that decoding could begin with was kept"


def ring_for(settings: CameraSettings, rules: Iterable[Rule] = ()) -> PacketRing:
    """A ring that holds what the clips of a camera with these rules need, within `RING_BYTES`."""
    return PacketRing(ring_seconds(settings, rules), RING_BYTES)


def ring_seconds(settings: CameraSettings, rules: Iterable[Rule] = ()) -> float:
    """How much of a camera's stream its clips need; 0 where none is cut.

    A violation began when it was first seen, and opens `min_duration_s` later, or with the next hit after that: a clip
    that is cut then reaches back over all of it.
    """
    shown_s = settings.clip_before_s + settings.clip_after_s
    if not shown_s or settings.masks:
        return 0.0
    definitions = [rule.settings.definition for rule in rules if rule.settings.enabled]
    waits_s = max((each.min_duration_s + each.max_gap_s for each in definitions), default=0.0)
    return shown_s + max(RING_EXTRA_S, waits_s + FIRST_PICTURE_S)


class Clips:
    """Cuts clips out of the cameras' rings, in tasks of their own: nothing waits for them.

    Args:
        recorder: Keeps files and records.
        clock: For records.
        spawn: Starts a task that the pipeline owns.
        on_recorded: Called when the spool has something new.
    """

    def __init__(
        self,
        recorder: Recorder,
        clock: Clock,
        spawn: Callable[[Coroutine[None, None, None], str], object],
        on_recorded: Callable[[], None],
    ) -> None:
        self._recorder = recorder
        self._clock = clock
        self._spawn = spawn
        self._on_recorded = on_recorded

    def expected(self, settings: CameraSettings, ring: PacketRing, opened_s: float) -> Evidence:
        """What a violation that opens at this frame time can say of its clip."""
        if settings.clip_before_s + settings.clip_after_s == 0:
            return Evidence(missing_reason=SWITCHED_OFF)
        if settings.masks:
            return Evidence(missing_reason=MASKED)
        if ring.empty:
            return Evidence(missing_reason=NO_STREAM)
        end = from_unix(opened_s + settings.clip_after_s)
        return Evidence(
            missing_reason=f"{BEING_RECORDED} until {end:%H:%M:%S} UTC; lost if the gateway is killed before"
        )

    def take(
        self, violation: Violation, settings: Callable[[], CameraSettings], ring: PacketRing, opened_s: float
    ) -> None:
        """Take the clip of a violation that is on record, unless it said that there will be none.

        Args:
            violation: As it was recorded.
            settings: Gives the camera's settings as they are now: a mask may be drawn while a clip is waited for.
            ring: The camera's.
            opened_s: Frame time of the frame that opened the violation.
        """
        if violation.clip.is_awaited:
            cut = _request(ring, violation, settings(), opened_s)
            self._spawn(self._take(violation, settings, ring, cut), "clip")

    async def give_up(self, violation_ids: Sequence[str]) -> None:
        """Put on record that clips were lost: those that an earlier run of this gateway left unfinished."""
        clip, now = Evidence(missing_reason=LOST), self._clock.utcnow()
        await self._recorder.keep([ClipTaken(id=violation_id, clip=clip, at=now) for violation_id in violation_ids])
        self._on_recorded()
        _logger.warning("clips were lost when the gateway ended", extra={"violations": list(violation_ids)})

    async def _take(
        self,
        violation: Violation,
        current: Callable[[], CameraSettings],
        ring: PacketRing,
        cut: "asyncio.Future[Excerpt | None]",
    ) -> None:
        late = asyncio.get_running_loop().call_later(current().clip_after_s + LATE_S, ring.settle)
        excerpt = await cut
        late.cancel()
        masked = Evidence(missing_reason=MASKED)
        clip = masked if current().masks else await self._keep(violation.id, excerpt)
        await self._recorder.keep([ClipTaken(id=violation.id, clip=clip, at=self._clock.utcnow())])
        self._on_recorded()

    async def _keep(self, violation_id: str, excerpt: Excerpt | None) -> Evidence:
        """Make and keep the clip; a bug costs the clip alone."""
        if excerpt is None:
            return Evidence(missing_reason=NOTHING_KEPT)
        name = f"{evidence_folder(violation_id)}/clip.mp4"
        try:
            content = await asyncio.to_thread(remux, excerpt)
            sha256 = await self._recorder.keep_file(name, content)
        except (ValueError, StoreError) as error:
            _logger.warning("no clip", extra={"violation_id": violation_id, "reason": str(error)})
            return Evidence(missing_reason=str(error))
        except Exception:
            _logger.exception("no clip", extra={"violation_id": violation_id})
            return Evidence(missing_reason=NOT_MADE)
        return Evidence(name=name, sha256=sha256, missing_reason=excerpt.missing_reason)


def _request(
    ring: PacketRing, violation: Violation, settings: CameraSettings, opened_s: float
) -> "asyncio.Future[Excerpt | None]":
    """Ask a ring for a violation's stretch, at once: a camera that is stopped clears it."""
    loop = asyncio.get_running_loop()
    cut: asyncio.Future[Excerpt | None] = loop.create_future()
    from_s, to_s = violation.started_at.timestamp() - settings.clip_before_s, opened_s + settings.clip_after_s
    ring.request(from_s, to_s, lambda excerpt: _settle(loop, cut, excerpt))
    return cut


def _settle(loop: asyncio.AbstractEventLoop, cut: "asyncio.Future[Excerpt | None]", excerpt: Excerpt | None) -> None:
    """Hand an excerpt over from a camera's thread."""

    def settle() -> None:
        if not cut.done():
            cut.set_result(excerpt)

    if not loop.is_closed():
        loop.call_soon_threadsafe(settle)
