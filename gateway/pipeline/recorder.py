"""Making verdicts durable: the picture first, then the spool."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

import msgspec

from gateway.domain.ports import EvidenceStore, Spool
from gateway.domain.violation import Evidence, Violation, ViolationClosed, ViolationOpened, ViolationRecord
from gateway.errors import SpoolError, StoreError
from gateway.evidence import Mark, render_jpeg
from gateway.pipeline.judge import Seen, Verdict

_logger = logging.getLogger(__name__)

RETRY_FIRST_S = 0.1
RETRY_LAST_S = 5.0


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
        self, verdict: Verdict, seen: Seen | None, states: Mapping[tuple[str, str], bytes]
    ) -> Sequence[Violation]:
        """Keep what a verdict says and the rule states behind it; returns the new violations, with their evidence."""
        opened: list[Violation] = []
        for violation in verdict.opened:
            assert seen is not None
            evidence = await self._take_picture(violation, seen)
            opened.append(msgspec.structs.replace(violation, evidence=evidence))
        records: list[ViolationRecord] = [*verdict.closed, *(ViolationOpened(violation=v) for v in opened)]
        if records or states:
            await self._commit(records, states)
        for closed in verdict.closed:
            _log_closed(closed)
        return opened

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

    async def _take_picture(self, violation: Violation, seen: Seen) -> Evidence:
        name = f"{violation.created_at:%Y/%m/%d}/{violation.id}.jpg"
        try:
            content = await asyncio.to_thread(_render, violation, seen)
            return Evidence(name=name, sha256=await self._evidence.put(name, content))
        except (StoreError, ValueError) as error:
            _logger.warning("no evidence picture", extra={"violation_id": violation.id, "reason": str(error)})
            return Evidence(missing_reason=str(error))


def _render(violation: Violation, seen: Seen) -> bytes:
    detections = seen.detections
    marks: list[Mark] = []
    for i, (x1, y1, x2, y2) in enumerate(detections.xyxy.tolist()):
        text = f"{detections.label(i)} {detections.score[i]:.2f}"
        marks.append(Mark((x1, y1, x2, y2), text, violates=(x1, y1, x2, y2) == violation.box))
    caption = f"{violation.rule_name}  {violation.started_at:%Y-%m-%d %H:%M:%S} UTC"
    return render_jpeg(seen.frame, violation.zone, marks, caption)


def _log_closed(closed: ViolationClosed) -> None:
    _logger.info("violation ended", extra={"violation_id": closed.id, "ended_at": closed.ended_at.isoformat()})
