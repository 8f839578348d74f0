"""What a replica concludes from its looks."""

import math

import pytest

from gateway.domain.camera import CameraState
from gateway.domain.lease import Holding, Look, Taken
from gateway.ownership.ledger import Ledger

LEASE_S = 6.0


def look(*holdings: Holding, replicas: tuple[str, ...] = ("anna", "ben")) -> Look:
    return Look(replicas=replicas, holdings=holdings)


def held(owner: str | None, epoch: int = 1, revision: str | None = "1") -> Holding:
    return Holding(camera_id="gate", owner=owner, epoch=epoch, revision=revision)


@pytest.fixture
def ledger() -> Ledger:
    """Anna's, who has taken the gate and runs it."""
    ledger = Ledger("anna", LEASE_S)
    ledger.seen(look(held(None, 0)), 100.0)
    ledger.took(Taken(camera_id="gate", epoch=1))
    ledger.running["gate"] = "1"
    return ledger


def test_nothing_is_sure_before_the_first_look() -> None:
    ledger = Ledger("anna", LEASE_S)
    ledger.missed(5.0)
    assert ledger.sure_until_s == -math.inf


def test_a_look_is_good_for_two_thirds_of_the_lease_from_when_it_was_asked_for(ledger: Ledger) -> None:
    assert ledger.sure_until_s == pytest.approx(104.0)
    ledger.missed(103.0)
    assert ledger.sure_until_s == pytest.approx(104.0), "another replica may take over"


def test_who_is_alone_goes_on_as_long_as_it_tries(ledger: Ledger) -> None:
    ledger.seen(look(held("anna"), replicas=("anna",)), 110.0)
    ledger.missed(113.0)
    assert ledger.sure_until_s == pytest.approx(117.0)


def test_a_camera_is_lost_when_its_epoch_is_another_or_it_is_gone(ledger: Ledger) -> None:
    assert (ledger.lost(), ledger.holds("gate")) == ([], True)
    for row, lost, holds in (
        (held("anna"), [], True),
        (held(None), [], False),
        (held("ben", 2), ["gate"], False),
        (held(None, 2), ["gate"], False),
    ):
        ledger.seen(look(row), 110.0)
        assert (ledger.lost(), ledger.holds("gate")) == (lost, holds), row
    ledger.seen(look(), 110.0)
    assert ledger.lost() == ["gate"]
    ledger.drop("gate")
    assert ledger.lost() == []


def test_only_what_is_held_is_brought_in_line_with_the_record(ledger: Ledger) -> None:
    assert ledger.changed() == []
    ledger.seen(look(held("anna", revision="2")), 110.0)
    assert ledger.changed() == ["gate"]
    ledger.seen(look(held("ben", 2, revision="2")), 110.0)
    assert ledger.changed() == []


def test_what_was_its_own_before_a_restart_is_taken_again() -> None:
    ledger = Ledger("anna", LEASE_S)
    ledger.seen(look(held("anna")), 100.0)
    assert ledger.plan().take == ("gate",)
    assert ledger.plan().release == ()


@pytest.mark.parametrize(
    ("holding", "state", "owner"),
    [
        (held("ben"), CameraState.ELSEWHERE, "ben"),
        (held(None), CameraState.CONNECTING, ""),
        (Holding(camera_id="gate", owner="ben", enabled=False), CameraState.DISABLED, "ben"),
    ],
)
def test_of_a_camera_that_does_not_run_here_it_says_what_is_known(
    holding: Holding, state: CameraState, owner: str
) -> None:
    ledger = Ledger("anna", LEASE_S)
    ledger.seen(look(holding), 100.0)
    status = ledger.status("gate")
    assert (status.state, status.owner) == (state, owner)
    assert bool(status.reason) == holding.enabled
