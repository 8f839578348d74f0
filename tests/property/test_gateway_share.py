"""Who takes and releases which cameras: even, gentle, and without two who take the same."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.lease import Holding
from gateway.domain.share import share

REPLICAS = ("anna", "ben", "cleo", "dora")


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[str], list[Holding]]:
    """Replicas that live, and who has which cameras: also those who don't live any more, and nobody."""
    live = draw(st.lists(st.sampled_from(REPLICAS), min_size=1, unique=True))
    owners = st.sampled_from([*live, "dead", None])
    revisions, enabled = st.sampled_from(["1", None]), st.booleans()
    drawn = draw(st.lists(st.tuples(owners, revisions, enabled), max_size=24))
    holdings = [
        Holding(camera_id=f"camera{number:02}", owner=owner, epoch=1, revision=revision, enabled=on)
        for number, (owner, revision, on) in enumerate(drawn)
    ]
    return live, holdings


def after_a_round(live: list[str], holdings: list[Holding]) -> list[Holding]:
    """What becomes of it when every replica does what it should."""
    owners = {holding.camera_id: holding.owner for holding in holdings}
    for name in live:
        plan = share(name, live, holdings)
        owners |= dict.fromkeys(plan.release, None) | dict.fromkeys(plan.take, name)
    return [
        Holding(camera_id=h.camera_id, owner=owners[h.camera_id], enabled=h.enabled, revision=h.revision)
        for h in holdings
    ]


def kinds(holdings: list[Holding]) -> dict[tuple[bool, bool], list[Holding]]:
    """Holdings by whether the camera is there, and switched on."""
    found: dict[tuple[bool, bool], list[Holding]] = {}
    for holding in holdings:
        found.setdefault((holding.revision is None, holding.enabled), []).append(holding)
    return found


@given(situations())
def test_only_what_nobody_has_is_taken_and_by_one_alone(situation: tuple[list[str], list[Holding]]) -> None:
    live, holdings = situation
    taken = Counter(camera for name in live for camera in share(name, live, holdings).take)
    free = {holding.camera_id for holding in holdings if holding.owner not in live}
    assert set(taken.elements()) == free
    assert not free or max(taken.values()) == 1


@given(situations())
def test_a_replica_releases_its_own_cameras_one_of_a_kind_at_a_time(situation: tuple[list[str], list[Holding]]) -> None:
    live, holdings = situation
    for name in live:
        released = [h for h in holdings if h.camera_id in share(name, live, holdings).release]
        assert {holding.owner for holding in released} <= {name}
        assert all(len(each) == 1 for each in kinds(released).values())


@given(situations())
def test_it_comes_to_rest_with_equal_parts_and_then_nothing_moves(situation: tuple[list[str], list[Holding]]) -> None:
    live, holdings = situation
    for _ in range(len(holdings) + 2):
        holdings = after_a_round(live, holdings)
    for each in kinds(holdings).values():
        counts = Counter(holding.owner for holding in each)
        assert counts.keys() <= set(live)
        assert max(counts[name] for name in live) - min(counts[name] for name in live) <= 1
    assert after_a_round(live, holdings) == holdings


@given(situations())
def test_no_camera_moves_that_need_not(situation: tuple[list[str], list[Holding]]) -> None:
    """At rest a replica has lost no more than it had above an equal part, rounded up."""
    live, before = situation
    holdings = before
    for _ in range(len(holdings) + 2):
        holdings = after_a_round(live, holdings)
    for kind, each in kinds(before).items():
        had, has = Counter(h.owner for h in each), Counter(h.owner for h in kinds(holdings)[kind])
        smallest = len(each) // len(live)
        for name in live:
            assert has[name] >= min(had[name], smallest)
            kept = {h.camera_id for h in each if h.owner == name} & {
                h.camera_id for h in kinds(holdings)[kind] if h.owner == name
            }
            assert len(kept) == min(had[name], has[name])


def test_eight_cameras_are_four_each_and_a_third_replica_gets_its_part() -> None:
    cameras = [Holding(camera_id=f"camera{number}", owner=None) for number in range(8)]
    held = after_a_round(["anna", "ben"], cameras)
    assert Counter(holding.owner for holding in held) == {"anna": 4, "ben": 4}
    for _ in range(4):
        held = after_a_round(["anna", "ben", "cleo"], held)
    assert Counter(holding.owner for holding in held) == {"anna": 3, "ben": 3, "cleo": 2}
