"""A replica says why its leases can't be renewed."""

import asyncio
from typing import Any, cast

import pytest

from gateway.domain.clock import SystemClock
from gateway.domain.lease import Look
from gateway.errors import DatabaseError
from gateway.metrics import Metrics
from gateway.ownership.loop import CameraOwnership


class FailingLeases:
    """Leases of a database that fails, or, where it is to raise nothing, doesn't answer."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    async def look(self) -> Look:
        if self._error is not None:
            raise self._error
        await asyncio.Event().wait()
        raise AssertionError


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, "the database does not answer"),
        (DatabaseError("the database refused or is away: a reason"), "the database refused or is away: a reason"),
    ],
)
async def test_leases_that_can_not_be_renewed_are_told_by_a_reason(error: Exception | None, reason: str) -> None:
    nothing = cast("Any", None)
    ownership = CameraOwnership(
        leases=cast("Any", FailingLeases(error)),
        store=nothing,
        cameras=nothing,
        clock=SystemClock(),
        name="anna",
        lease_s=0.03,
        carried=nothing,
        announce=nothing,
        metrics=Metrics(),
    )
    await ownership.refresh()
    with pytest.raises(DatabaseError, match=f"^no lease can be renewed: {reason}$"):
        await ownership.ping()
