"""Replicas that hear the same decisions agree, in whatever order and however often they hear them."""

import datetime as dt
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.runtime import Drainage

TIMES = st.integers(0, 5).map(lambda hour: dt.datetime(2026, 1, 31, hour, tzinfo=dt.UTC))
DECISIONS = st.lists(st.builds(Drainage, draining=st.booleans(), decided_at=TIMES), min_size=1, max_size=8)


@given(DECISIONS, st.randoms(use_true_random=False))
def test_the_outcome_is_the_newest_decision_whatever_the_order(decisions: list[Drainage], random) -> None:
    heard = [*decisions, *random.choices(decisions, k=3)]
    random.shuffle(heard)
    outcome = reduce(Drainage.newer, heard, Drainage())
    assert outcome == reduce(Drainage.newer, decisions, Drainage())
    assert outcome.decided_at == max(decision.decided_at for decision in decisions)
