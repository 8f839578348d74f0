"""Thousands of cameras on runtimes of mixed hardware that crash, slow down, drain and come back; on a virtual clock."""

import math

import pytest

from gateway.scheduler.placement import MOVED_PER_S
from tests.support.cluster import Cluster, a_day_of_failures

CALM_S, END_S = 26.0, 34.0


@pytest.fixture(
    scope="module",
    params=[pytest.param((1000, 20), id="1000"), pytest.param((10_000, 100), id="10000", marks=pytest.mark.slow)],
)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """A cluster after its day of failures, its books of the last 8 s, which were calm."""
    cluster = a_day_of_failures(*request.param)
    cluster.run(CALM_S)
    cluster.restart_books()
    cluster.run(END_S)
    cluster.close_books()
    return cluster


def test_every_frame_is_inferred_or_dropped_by_cause_or_still_on_its_way(cluster: Cluster):
    assert cluster.offered == cluster.inferred + sum(cluster.dropped.values()) + cluster.unsettled
    assert cluster.dropped["replaced"] < 0.02 * cluster.offered


def test_no_runtime_is_sent_more_in_a_second_than_it_declared_and_a_batch(cluster: Cluster):
    for runtime in cluster.runtimes.values():
        assert max(runtime.sent.values()) <= runtime.limits.max_fps + runtime.limits.batch_size


def test_a_lost_runtimes_cameras_are_elsewhere_within_a_fifth_of_a_second(cluster: Cluster):
    assert 0 < cluster.longest_away_s < 0.2
    assert all(second["without a runtime"] == 0 for second in cluster.seconds)


def test_few_cameras_are_moved_at_a_time(cluster: Cluster):
    assert max(cluster.moves.values()) <= 1 + 2 * MOVED_PER_S * len(cluster.cameras)
    assert sum(moved for second, moved in cluster.moves.items() if second >= CALM_S) <= 0.02 * len(cluster.cameras)


def test_each_camera_gets_what_it_was_granted_within_a_twentieth_or_a_frame(cluster: Cluster):
    off = [
        camera.key
        for camera in cluster.cameras.values()
        if abs(camera.inferred - camera.promised) > max(1.0, 0.05 * camera.promised) + 1.0
    ]
    assert off == []
    inferred = sum(camera.inferred for camera in cluster.cameras.values())
    assert inferred >= 0.98 * sum(camera.promised for camera in cluster.cameras.values())


def test_nobody_starves(cluster: Cluster):
    for camera in cluster.cameras.values():
        assert camera.inferred >= math.floor(camera.promised / 2)
        assert camera.promised > 0
