"""How many failed frames may be sent again: few, so that trying again never becomes the load that brings all down."""

SHARE = 0.1
RESERVE = 10.0


class RetryBudget:
    """One retry for each ten frames sent, and `RESERVE` to begin with and to save up (Finagle's retry budget)."""

    def __init__(self) -> None:
        self._left = RESERVE

    def sent(self) -> None:
        """A frame was sent for the first time."""
        self._left = min(RESERVE, self._left + SHARE)

    @property
    def allows(self) -> bool:
        """Whether a retry is left."""
        return self._left >= 1

    def spend(self) -> None:
        """A frame was sent again."""
        self._left -= 1
