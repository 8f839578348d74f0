"""Making verdicts durable: the picture first, then the spool."""

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from gateway.domain.clock import from_unix
from gateway.domain.definitions import Point
from gateway.domain.ports import EvidenceStore, Spool
from gateway.domain.violation import (
    Box,
    Evidence,
    Violation,
    ViolationClosed,
    ViolationOpened,
    ViolationRecord,
    ViolationUpdated,
    evidence_folder,
)
from gateway.errors import SpoolError, StoreError
from gateway.evidence import Drawing, Mark, take_pictures
from gateway.pipeline.judge import Seen, Verdict

_logger = logging.getLogger(__name__)

RETRY_FIRST_S = 0.1
RETRY_LAST_S = 5.0

PICTURES = {"evidence": "", "clean_evidence": "-clean"}
"""What a record calls each picture, and what its file name says of it."""

NOT_MADE = "it could not be made; the gateway's log tells why"


class Recorder:
    """Puts pictures into the evidence store and records into the spool; a record counts once the spool committed it.

    Attributes:
        fault: Why the spool isn't durable now; empty while it is. While it isn't, nothing already detected is given up,
            and the pipeline takes no new frames.
    """

    def __init__(self, spool: Spool, evidence: EvidenceStore) -> None:
        self._spool = spool
        self._evidence = evidence
        self.fault = ""

    async def record(
        self,
        verdict: Verdict,
        seen: Seen | None,
        states: Mapping[tuple[str, str], bytes],
        masks: Sequence[Sequence[Point]] = (),
        epoch: int = 0,
    ) -> Sequence[Violation]:
        """Keep what a verdict says and the rule states behind it.

        Args:
            verdict: What is to be kept.
            seen: The frame that shows it; None where none does.
            states: The rules' states, by camera and rule.
            masks: What of the frame mustn't be kept.
            epoch: Under which this replica has the camera.

        Returns:
            The new violations, with their evidence.
        """
        opened: list[Violation] = []
        updated: list[ViolationUpdated] = []
        if seen is not None:
            for violation in verdict.opened:
                shown = _Shown(violation.rule_name, violation.zone, violation.box)
                pictures = await self._take_pictures(violation.id, seen, shown, masks)
                opened.append(replace(violation, **pictures))
            for better in verdict.updated:
                settings = better.rule.settings
                shown = _Shown(settings.name, settings.definition.outline(), better.record.box)
                pictures = await self._take_pictures(better.record.id, seen, shown, masks)
                updated.append(replace(better.record, **pictures, epoch=epoch))
        records: list[ViolationRecord] = [replace(closed, epoch=epoch) for closed in verdict.closed]
        records += [*updated, *(ViolationOpened(violation=violation, epoch=epoch) for violation in opened)]
        if records or states:
            await self._commit(records, states)
        for closed in verdict.closed:
            _log_closed(closed)
        return opened

    async def keep(
        self, records: Sequence[ViolationRecord], states: Mapping[tuple[str, str], bytes] | None = None
    ) -> None:
        """Make records durable that no frame led to, and rule states by camera and rule."""
        await self._commit(records, states or {})

    async def keep_file(self, name: str, content: bytes) -> str:
        """Keep a file of evidence; returns its sha256 (hex). Raises `StoreError`."""
        return await self._evidence.put(name, content)

    async def _commit(self, records: Sequence[ViolationRecord], states: Mapping[tuple[str, str], bytes]) -> None:
        """Commit, and try again until it is durable: what was detected isn't lost while the process lives."""
        retry_s = RETRY_FIRST_S
        while True:
            try:
                await self._spool.commit(records, states)
            except SpoolError as error:
                if not self.fault:
                    _logger.error("spool not durable; no frames are taken until it is", extra={"reason": str(error)})  # noqa: TRY400
                self.fault = f"the spool is not durable: {error}"
                await asyncio.sleep(retry_s)
                retry_s = min(RETRY_LAST_S, retry_s * 2)
            else:
                if self.fault:
                    _logger.info("spool durable again")
                self.fault = ""
                return

    async def _take_pictures(
        self, violation_id: str, seen: Seen, shown: "_Shown", masks: Sequence[Sequence[Point]]
    ) -> dict[str, Evidence]:
        """Keep both pictures of a frame; by the attributes of a record that refer to them.

        A picture is never worth a violation: whatever goes wrong here, a bug too, costs the picture alone.
        """
        stem = f"{evidence_folder(violation_id)}/{seen.frame.index}"
        try:
            pictures = await asyncio.to_thread(take_pictures, seen.frame, _drawing(seen, shown), masks)
        except ValueError as error:
            _logger.warning("no evidence picture", extra={"violation_id": violation_id, "reason": str(error)})
            return dict.fromkeys(PICTURES, Evidence(missing_reason=str(error)))
        except Exception:
            _logger.exception("no evidence picture", extra={"violation_id": violation_id})
            return dict.fromkeys(PICTURES, Evidence(missing_reason=NOT_MADE))
        contents = {"evidence": pictures.annotated, "clean_evidence": pictures.clean}
        return {
            kind: await self._keep(violation_id, f"{stem}{suffix}", contents[kind]) for kind, suffix in PICTURES.items()
        }

    async def _keep(self, violation_id: str, stem: str, content: bytes) -> Evidence:
        """Keep a picture under a name of its own: a camera that is opened anew counts its frames from 0 again."""
        name = f"{stem}-{hashlib.sha256(content).hexdigest()[:8]}.jpg"
        try:
            return Evidence(name=name, sha256=await self._evidence.put(name, content))
        except StoreError as error:
            _logger.warning("evidence not kept", extra={"violation_id": violation_id, "reason": str(error)})
            return Evidence(missing_reason=str(error))
        except Exception:
            _logger.exception("evidence not kept", extra={"violation_id": violation_id})
            return Evidence(missing_reason=NOT_MADE)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a picture of a violation shows beside all that was detected."""

    rule_name: str
    zone: Sequence[Point]
    box: Box


def _drawing(seen: Seen, shown: _Shown) -> Drawing:
    detections = seen.detections
    marks: list[Mark] = []
    for i, (x1, y1, x2, y2) in enumerate(detections.xyxy.tolist()):
        text = f"{detections.label(i)} {detections.score[i]:.2f}"
        marks.append(Mark((x1, y1, x2, y2), text, violates=(x1, y1, x2, y2) == shown.box))
    return Drawing(shown.zone, marks, f"{shown.rule_name}  {from_unix(seen.frame.time_s):%Y-%m-%d %H:%M:%S} UTC")


def _log_closed(closed: ViolationClosed) -> None:
    _logger.info("violation ended", extra={"violation_id": closed.id, "ended_at": closed.ended_at.isoformat()})
