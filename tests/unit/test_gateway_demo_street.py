"""The rendered street shows what its ground truth says, the same every time."""

import numpy as np
import pytest

from gateway.sources.demo import DEMO_ZONE, DemoStreet


def test_a_frame_is_the_same_whenever_and_by_whomever_it_is_rendered():
    one, other = DemoStreet(seed=5), DemoStreet(seed=5)
    other.render(70)
    for first, second in zip(one.render(43), other.render(43), strict=True):
        np.testing.assert_array_equal(first, second)
    assert one.ground_truth(43) == other.ground_truth(43)


def test_another_seed_is_another_street():
    assert not np.array_equal(DemoStreet(seed=1).render(0)[0], DemoStreet(seed=2).render(0)[0])


@pytest.mark.parametrize("size_wh", [(1280, 720), (640, 360), (640, 480), (722, 406), (320, 180)])
def test_planes_are_those_of_a_420_picture_of_the_asked_size(size_wh: tuple[int, int]):
    width, height = size_wh
    luma, chroma_u, chroma_v = DemoStreet(people=5, size_wh=size_wh).render(40)
    assert luma.shape == (height, width)
    assert chroma_u.shape == chroma_v.shape == (height // 2, width // 2)
    assert luma.dtype == chroma_u.dtype == chroma_v.dtype == np.uint8
    assert luma.min() >= 16
    assert luma.max() <= 235


def test_a_frame_may_be_written_to_without_harm_to_the_next():
    street = DemoStreet()
    for plane in street.render(0):
        plane[:] = 0
    assert street.render(0)[0].min() >= 16


@pytest.mark.parametrize("k", [25, 45, 66, 120, 140])
def test_whoever_is_painted_is_in_the_box_and_the_box_is_tight(k: int):
    street = DemoStreet(people=1, seed=3) if k < 100 else DemoStreet(people=2, seed=3)
    (person,) = street.ground_truth(k)
    changed = np.abs(street.render(k)[0].astype(int) - DemoStreet(people=0, seed=3).render(k)[0]) > 24
    x1, y1, x2, y2 = person.xyxy
    ys, xs = np.nonzero(changed[: int(y2 - 0.03 * (y2 - y1))])
    height = y2 - y1
    assert xs.min() >= x1 - 1
    assert xs.max() <= x2 + 1
    assert ys.min() >= y1 - 1
    assert ys.min() <= y1 + 0.02 * height
    assert xs.min() <= x1 + 0.08 * height
    assert xs.max() >= x2 - 0.08 * height


def test_a_person_comes_into_the_picture_and_leaves_it():
    street = DemoStreet(people=1, seed=1)
    shares = [people[0].visible if (people := street.ground_truth(k)) else 0.0 for k in range(100)]
    assert shares[0] == shares[-1] == 0
    assert 0 < min(share for share in shares if share) < 0.5
    assert max(shares) == 1


def test_a_person_behind_another_is_seen_in_part():
    street = DemoStreet(people=6, seed=1)
    shares = [person.visible for k in range(100) for person in street.ground_truth(k) if person.xyxy[0] > 0]
    assert any(0 < share < 0.9 for share in shares)


def test_a_person_keeps_the_name_for_the_whole_way():
    street = DemoStreet(people=1, seed=2)
    assert {person.person_id for k in range(100) for person in street.ground_truth(k)} == {0}


def test_the_zone_is_occupied_by_feet_not_by_heads():
    street = DemoStreet(people=1, seed=1)
    k = next(k for k in range(200) if street.zone_occupied(k))
    (person,) = street.ground_truth(k)
    x, y = person.feet_xy
    (left, top), (right, _), (_, bottom), _ = DEMO_ZONE
    assert left <= x / 1280 <= right
    assert top <= y / 720 <= bottom
    assert not street.zone_occupied(k, zone=((0, 0), (1, 0), (1, 0.5), (0, 0.5)))


def test_nobody_is_in_a_street_without_people():
    street = DemoStreet(people=0)
    assert not any(street.ground_truth(k) or street.zone_occupied(k) for k in range(0, 400, 10))
    np.testing.assert_array_equal(street.render(3)[0], street.render(200)[0])
