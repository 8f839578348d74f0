"""Tracks: every number one object, one object one number."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.rules.tracker import (
    BEGIN_SCORE,
    LOST_S,
    MOST_WAITING,
    NO_TRACK,
    STILL_LOST_S,
    Box,
    Leeway,
    Track,
    TrackerState,
    as_one,
    follow,
)
from tests.support.scenes import Object, seen, standing

ROAD = ("car", "truck", "person")
Coordinates = st.floats(0, 600)
Boxes = st.tuples(Coordinates, Coordinates, st.floats(1, 300), st.floats(1, 300)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
Objects = st.tuples(st.sampled_from(["person", "person_lying", "car"]), Boxes, st.floats(0.05, 1))
Clips = st.lists(st.tuples(st.floats(0, 5), st.lists(Objects, max_size=6)), max_size=25)


@given(clip=Clips)
def test_no_two_objects_of_a_frame_share_a_number_and_no_number_comes_back_after_it_was_lost(
    clip: list[tuple[float, list[Object]]],
):
    state, time_s, gone = TrackerState(), 0.0, set[int]()
    for step_s, objects in clip:
        time_s += step_s
        state, tracks = follow(state, time_s, seen(*objects))
        numbers = [n for n in tracks.ids.tolist() if n != NO_TRACK]
        assert len(numbers) == len(set(numbers))
        assert not gone & set(numbers)
        gone |= {track.id for track in tracks.lost}
        assert {track.id for track in state.tracks} >= set(numbers)
        assert all(number < state.next_id for number in numbers)
        unfollowed = [row for row, number in enumerate(tracks.ids.tolist()) if number == NO_TRACK]
        assert all(objects[row][2] < BEGIN_SCORE + 1e-6 for row in unfollowed)


@given(clip=Clips)
def test_what_is_remembered_survives_a_crash_after_any_frame(clip: list[tuple[float, list[Object]]]):
    state, time_s = TrackerState(), 0.0
    for step_s, objects in clip:
        time_s += step_s
        kept = msgspec.json.decode(msgspec.json.encode(state), type=TrackerState)
        assert kept == state
        state, _ = follow(state, time_s, seen(*objects))


@given(
    fps=st.sampled_from([1, 2, 5, 10, 25]),
    speeds=st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=4),
    gap=st.floats(0, LOST_S - 1.1),
    order=st.randoms(use_true_random=False),
)
def test_people_who_walk_keep_their_numbers_over_gaps_at_any_rate(fps, speeds, gap, order):
    """Each in a lane of their own, at up to half a height per second."""
    state, numbers = TrackerState(), dict[int, set[int]]()
    hidden_from_s = 4.0
    for k in range(10 * fps):
        time_s = k / fps
        if hidden_from_s < time_s <= hidden_from_s + gap:
            continue
        people = list(enumerate(speeds))
        order.shuffle(people)
        boxes = [standing(300 + 100 * v * time_s, feet_y=110 + 220 * lane, height=100) for lane, v in people]
        state, tracks = follow(state, time_s, seen(*(("person", box) for box in boxes)))
        for (lane, _), number in zip(people, tracks.ids.tolist(), strict=True):
            numbers.setdefault(lane, set()).add(number)
    assert all(len(found) == 1 for found in numbers.values())
    assert len(set.union(*numbers.values())) == len(speeds)


def test_two_who_pass_each_other_keep_their_numbers():
    state, rows = TrackerState(), []
    for k in range(40):
        left, right = standing(100 + 10 * k, feet_y=300), standing(500 - 10 * k, feet_y=330)
        state, tracks = follow(state, k / 10, seen(("person", left), ("person", right)))
        rows.append(tuple(tracks.ids.tolist()))
    assert set(rows) == {(1, 2)}


def test_a_person_who_lies_down_is_the_one_who_stood_and_a_car_in_their_place_is_not():
    state, first = follow(TrackerState(), 0.0, seen(("person", (100, 100, 160, 260))))
    state, lying = follow(state, 0.5, seen(("person_lying", (90, 180, 230, 260))))
    _, car = follow(state, 1.0, seen(("car", (90, 180, 230, 260))))
    assert (first.ids.tolist(), lying.ids.tolist(), car.ids.tolist()) == ([1], [1], [2])


VEHICLES = Leeway(confused=as_one([("car", "truck"), ("person", "person_lying"), ("person",)]))


def test_a_car_and_a_truck_in_one_place_are_one_where_a_rule_takes_them_for_one_and_no_other_classes_are():
    car, truck, person = (seen((label, (90, 180, 230, 260)), labels=ROAD) for label in ROAD)
    state, _ = follow(TrackerState(), 0.0, car)
    for other, leeway, expected in ((truck, VEHICLES, 1), (truck, Leeway(), 2), (person, VEHICLES, 2)):
        assert follow(state, 0.2, other, leeway)[1].ids.tolist() == [expected]
    beside = seen(("truck", (130, 180, 270, 260)), labels=ROAD)
    assert follow(state, 0.2, beside, VEHICLES)[1].ids.tolist() == [2]


def test_an_object_of_another_class_is_no_match_where_there_is_one_of_its_own():
    place, beside = (90, 180, 230, 260), (100, 180, 240, 260)
    state, _ = follow(TrackerState(), 0.0, seen(("car", beside), ("truck", place), labels=ROAD), VEHICLES)
    state, both = follow(state, 0.2, seen(("car", place), ("truck", beside), labels=ROAD), VEHICLES)
    assert both.ids.tolist() == [1, 2]
    _, one = follow(state, 0.4, seen(("truck", place), labels=ROAD), VEHICLES)
    assert one.ids.tolist() == [2]


def test_a_vehicle_that_drives_and_changes_its_class_keeps_its_number():
    state, ids = TrackerState(), set[int]()
    for k in range(40):
        box = (20.0 + 12 * k, 180.0, 160.0 + 12 * k, 260.0)
        state, tracks = follow(state, k / 5, seen((ROAD[k // 2 % 2], box), labels=ROAD), VEHICLES)
        ids |= set(tracks.ids.tolist())
    assert ids == {1}


def test_an_unsure_detection_continues_a_track_and_begins_none():
    state, nobody = follow(TrackerState(), 0.0, seen(("person", standing(100), 0.2)))
    state, _ = follow(state, 0.2, seen(("person", standing(100), 0.9)))
    _, weak = follow(state, 0.4, seen(("person", standing(104), 0.2)))
    assert (nobody.ids.tolist(), weak.ids.tolist()) == ([NO_TRACK], [1])


LONG = Leeway(gap_s=3600)


def seen_still(*boxes: Box) -> TrackerState:
    state = TrackerState()
    for k in range(21):
        state, _ = follow(state, k / 5, seen(*(("person", box) for box in boxes)), LONG)
    return state


def test_after_long_who_is_found_in_the_same_place_is_the_same_and_who_is_found_beside_it_is_not():
    waiting = seen_still(standing(300))
    _, same = follow(waiting, 60, seen(("person", standing(315))), LONG)
    _, other = follow(waiting, 60, seen(("person", standing(350))), LONG)
    _, soon = follow(waiting, 9, seen(("person", standing(350))), LONG)
    assert (same.ids.tolist(), other.ids.tolist(), soon.ids.tolist()) == ([1], [2], [1])


@given(fps=st.sampled_from([2, 5, 10]), speed=st.floats(0.5, 1), score=st.sampled_from([0.45, 0.9]))
def test_who_walks_into_the_place_of_one_who_is_waited_for_keeps_their_own_number(fps, speed, score):
    state, ids = seen_still(standing(300)), set[int]()
    for k in range(int(12 / speed * fps)):
        walker = standing(min(300, 60 + 40 * speed * k / fps))
        state, tracks = follow(state, 30 + k / fps, seen(("person", walker, score)), LONG)
        ids |= set(tracks.ids.tolist())
    assert ids == {2}


@given(clip=Clips, gap_s=st.floats(0, 30))
def test_no_track_is_given_up_sooner_for_being_waited_for_longer(clip: list[tuple[float, list[Object]]], gap_s: float):
    state, time_s = TrackerState(), 0.0
    for step_s, objects in clip:
        time_s += step_s
        usual, _ = follow(state, time_s, seen())
        state, _ = follow(state, time_s, seen(), Leeway(gap_s), blind_s=step_s / 2)
        assert {track.id for track in usual.tracks} <= {track.id for track in state.tracks}
        longest_s = max(STILL_LOST_S, gap_s)
        assert all(time_s - track.last_s <= longest_s for track in state.tracks)
        state, _ = follow(state, time_s, seen(*objects), Leeway(gap_s))


def test_no_more_are_waited_for_than_can_be_compared_with_each_frame():
    boxes = [standing(20 * k, feet_y=100 + 100 * row, height=10) for k in range(30) for row in range(4)]
    state, _ = follow(seen_still(*boxes), 600, seen(), LONG)
    assert len(state.tracks) == MOST_WAITING


def test_tracks_of_the_version_before_are_read_and_those_of_this_one_by_it():
    class Before(msgspec.Struct, frozen=True, array_like=True):
        id: int
        label: str
        box: Box
        velocity: tuple[float, float]
        first_s: float
        last_s: float

    track = Track(1, "person", (0.0, 0.0, 1.0, 1.0), (0.0, 0.0), 1.0, 2.0)
    before = Before(*msgspec.structs.astuple(track)[:6])
    assert msgspec.json.decode(msgspec.json.encode(before), type=Track) == track
    assert msgspec.json.decode(msgspec.json.encode(track), type=Before) == before


def test_what_has_not_been_seen_for_too_long_is_told_once_as_lost():
    state, _ = follow(TrackerState(), 0.0, seen(("person", standing(100))))
    state, waiting = follow(state, LOST_S, seen())
    state, after = follow(state, LOST_S + 0.1, seen())
    _, later = follow(state, LOST_S + 0.2, seen())
    assert ([len(t.lost) for t in (waiting, after, later)]) == [0, 1, 0]
