"""Records in whatever order: rounds keep the order of each violation's own, and hold each violation once."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.violation import ViolationOpened, ViolationRecord
from gateway.store.apply import rounds
from tests.support.violations import clip_taken, closed, opened, updated

OPENED = [opened() for _ in range(4)]
KINDS = (
    lambda record: record,
    *((lambda record, make=make: make(record.violation)) for make in (updated, clip_taken, closed)),
)
RECORDS = st.lists(st.builds(lambda record, kind: kind(record), st.sampled_from(OPENED), st.sampled_from(KINDS)))


def _id(record: ViolationRecord) -> str:
    return record.violation.id if isinstance(record, ViolationOpened) else record.id


def _places_by_violation(rounds_: list[Mapping[int, ViolationRecord]]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for round_ in rounds_:
        for place, record in round_.items():
            places.setdefault(_id(record), []).append(place)
    return places


@given(RECORDS)
def test_every_record_is_in_one_round_and_every_round_has_a_violation_once(records: list[ViolationRecord]) -> None:
    found = list(rounds(records))

    assert sorted(place for round_ in found for place in round_) == list(range(len(records)))
    assert all(record is records[place] for round_ in found for place, record in round_.items())
    assert all(len({_id(record) for record in round_.values()}) == len(round_) for round_ in found)


@given(RECORDS)
def test_the_records_of_a_violation_stay_in_order(records: list[ViolationRecord]) -> None:
    for places in _places_by_violation(list(rounds(records))).values():
        assert places == sorted(places)
