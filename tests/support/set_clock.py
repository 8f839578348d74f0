"""A clock that stands still."""

import datetime as dt

from tests.support.violations import NOON


class SetClock:
    """Says the time it is told."""

    now = NOON

    def utcnow(self) -> dt.datetime:
        """The time it was told."""
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Go on."""
        self.now += dt.timedelta(seconds=seconds)

    def monotonic(self) -> float:
        """The same in seconds."""
        return self.now.timestamp()
