"""How long what shows a violation is kept. The violation's row and its audit stay."""

import datetime as dt
from typing import Annotated

import msgspec

from gateway.domain.violation import ViolationStatus

Days = Annotated[float, msgspec.Meta(gt=0)]


class RetentionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Which evidence goes. A violation that is open, or that goes on, keeps its evidence whatever is said here.

    Attributes:
        acknowledged_days: Age at which an acknowledged violation's evidence goes; None to keep it.
        resolved_days: Of a resolved one.
        dismissed_days: Of a dismissed one.
        per_camera: So many violations of a camera keep theirs, the newest; None for all.
        disk_share: While more of the disk than this is used, 0..1, the oldest evidence goes.
        event_days: Age at which an event can't be replayed any more, and a dead letter not be sent again.
    """

    acknowledged_days: Days | None = None
    resolved_days: Days | None = None
    dismissed_days: Days | None = None
    per_camera: int | None = None
    disk_share: float = 0.9
    event_days: Days = 30.0

    def limits(self, now: dt.datetime) -> list[tuple[ViolationStatus, dt.datetime]]:
        """For each status that has an age limit: before which time a violation of it is too old."""
        days = (
            (ViolationStatus.DISMISSED, self.dismissed_days),
            (ViolationStatus.RESOLVED, self.resolved_days),
            (ViolationStatus.ACKNOWLEDGED, self.acknowledged_days),
        )
        return [(status, now - dt.timedelta(days=age)) for status, age in days if age is not None]


class EvidenceQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Violations that have evidence which may go: handled by somebody, and over.

    Attributes:
        status: Only in this status.
        camera_id: Only this camera's.
        created_before: Only older ones.
        beyond_newest: Leave out so many, the newest; the others come newest first instead of oldest first.
        after_id: Only those that come after this one, which was on the page before.
        limit: At most so many.
    """

    status: ViolationStatus | None = None
    camera_id: str | None = None
    created_before: dt.datetime | None = None
    beyond_newest: int = 0
    after_id: str | None = None
    limit: int = 100
