import pytest

from tests.support.history import Stored, faults

A, B = ("camera", "a"), ("camera", "b")
ON_RECORD = [Stored("1", A), Stored("2", B)]


def test_all_shown_and_acknowledged_on_record_once_is_without_fault() -> None:
    assert faults([A, B], ["1", "2"], ON_RECORD) == []


def test_what_was_never_acknowledged_may_be_on_record() -> None:
    assert faults([A, B], [], ON_RECORD) == []


@pytest.mark.parametrize(
    ("found", "acknowledged", "stored"),
    [
        ("lost", ["1", "2", "3"], ON_RECORD),
        ("doubled", ["1", "2"], [*ON_RECORD, Stored("2", B)]),
        ("told 0 times", ["1", "2"], [Stored("1", A), Stored("2", B, told=0)]),
        ("told 2 times", ["1", "2"], [Stored("1", A), Stored("2", B, told=2)]),
        ("invented", ["1", "2"], [*ON_RECORD, Stored("3", ("camera", "never shown"))]),
        ("split", ["1", "2"], [*ON_RECORD, Stored("3", B)]),
        ("missing or merged", ["1"], [Stored("1", A)]),
    ],
)
def test_each_fault_is_found(found: str, acknowledged: list[str], stored: list[Stored]) -> None:
    assert any(fault.startswith(found) for fault in faults([A, B], acknowledged, stored))
