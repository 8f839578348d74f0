"""Where cameras sit: no one of them would get much more elsewhere, and once that is so nothing moves."""

import math
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.capability import RuntimeLimits
from gateway.scheduler import Scheduler
from gateway.scheduler.grants import water_level
from gateway.scheduler.placement import DWELL_S, GAIN, SUSTAINED_S

MODELS = ("people", "cars", "falls")


def limits(max_fps: float, max_camera_fps: float | None = None, max_streams: int | None = None) -> RuntimeLimits:
    return RuntimeLimits(
        max_fps=max_fps,
        max_camera_fps=min(max_fps, max_camera_fps or max_fps),
        batch_size=1,
        timeout_s=2,
        max_streams=max_streams,
    )


class Cluster:
    """A scheduler, and beside it the books of who was told to get what where."""

    def __init__(self) -> None:
        self.scheduler = Scheduler()
        self.now_s = 0.0
        self.wanted: dict[tuple[str, str], tuple[float, int]] = {}
        self.runtimes: dict[str, tuple[RuntimeLimits, frozenset[str]]] = {}
        self.seat: dict[tuple[str, str], str | None] = {}
        self.moves: list[tuple[float, tuple[str, str]]] = []

    def add_runtime(self, name: str, capacity: RuntimeLimits, models=("people",), **options: object) -> None:
        self.runtimes[name] = (capacity, frozenset(models))
        self.scheduler.set_runtime(name, capacity, models, ready=True, **options)  # type: ignore[arg-type]

    def lose_runtime(self, name: str) -> None:
        del self.runtimes[name]
        self.scheduler.remove_runtime(name)

    def add_cameras(self, count: int, fps: float, model: str = "people", weight: int = 5) -> None:
        for i in range(count):
            key = (f"{model}-{weight}-{len(self.wanted)}-{i}", model)
            self.wanted[key] = (fps, weight)
            self.scheduler.subscribe(key, fps, weight)

    def run(self, seconds: float, step_s: float = 0.5) -> None:
        for _ in range(int(seconds / step_s)):
            for key, grant in self.scheduler.settle(self.now_s).granted:
                if self.seat.get(key) not in (None, grant.runtime_id):
                    self.moves.append((self.now_s, key))
                self.seat[key] = grant.runtime_id
            self.now_s += step_s

    def granted(self, key: tuple[str, str]) -> float:
        return self.scheduler.grant(key).granted_fps

    def seats(self) -> Counter[str | None]:
        return Counter(self.seat.values())

    def share_with_one_more(self, name: str, key: tuple[str, str]) -> float:
        """What a camera would truly get on a runtime beside those that sit there."""
        capacity, models = self.runtimes[name]
        there = [self.wanted[k] for k, seat in self.seat.items() if seat == name]
        if key[1] not in models or len(there) == capacity.max_streams:
            return 0.0
        fps, weight = self.wanted[key]
        demands = [(min(f, capacity.max_camera_fps), w) for f, w in [*there, (fps, weight)]]
        return min(fps, capacity.max_camera_fps, weight * water_level(demands, capacity.max_fps))


Runtimes = st.lists(
    st.tuples(
        st.builds(
            limits, st.sampled_from([5.0, 30.0, 100.0]), st.sampled_from([None, 5.0]), st.sampled_from([None, 3])
        ),
        st.sets(st.sampled_from(MODELS), min_size=1),
    ),
    min_size=1,
    max_size=5,
)
Cameras = st.lists(
    st.tuples(st.sampled_from([0.5, 5.0, 15.0, 60.0]), st.sampled_from(MODELS), st.sampled_from([1, 5, 10])),
    max_size=25,
)


@settings(deadline=None, max_examples=60)
@given(runtimes=Runtimes, cameras=Cameras)
def test_after_a_while_nothing_moves_and_no_camera_would_gain_much_by_moving_alone(runtimes, cameras):
    cluster = Cluster()
    for i, (capacity, models) in enumerate(runtimes):
        cluster.add_runtime(f"triton-{i}", capacity, models)
    for fps, model, weight in cameras:
        cluster.add_cameras(1, fps, model, weight)
    cluster.run(200, step_s=1)
    cluster.moves.clear()
    cluster.run(60, step_s=1)
    assert cluster.moves == []
    for key, seat in cluster.seat.items():
        for name in cluster.runtimes.keys() - {seat}:
            assert cluster.share_with_one_more(name, key) <= GAIN * cluster.granted(key) * 1.001


@given(runtimes=Runtimes, cameras=Cameras)
def test_no_runtime_is_asked_for_more_than_it_declared(runtimes, cameras):
    cluster = Cluster()
    for i, (capacity, models) in enumerate(runtimes):
        cluster.add_runtime(f"triton-{i}", capacity, models)
    for fps, model, weight in cameras:
        cluster.add_cameras(1, fps, model, weight)
    cluster.run(1)
    for name, (capacity, models) in cluster.runtimes.items():
        there = [key for key, seat in cluster.seat.items() if seat == name]
        assert {key[1] for key in there} <= models
        assert len(there) <= (capacity.max_streams or math.inf)
        assert all(cluster.granted(key) <= capacity.max_camera_fps for key in there)
        assert sum(map(cluster.granted, there)) <= capacity.max_fps * (1 + 1e-9)
    for key in cluster.wanted:
        grant = cluster.scheduler.grant(key)
        served = [capacity for capacity, models in cluster.runtimes.values() if key[1] in models]
        assert (grant.granted_fps > 0) == (grant.runtime_id is not None)
        assert bool(grant.reason) == (grant.granted_fps < grant.wanted_fps)
        assert bool(served) or grant.reason == "no runtime serves this model now"


def test_cameras_spread_over_unequal_runtimes_in_proportion_to_what_they_can_do():
    cluster = Cluster()
    cluster.add_runtime("gpu", limits(100))
    cluster.add_runtime("cpu", limits(25))
    cluster.add_cameras(50, 5)
    cluster.run(1)
    assert cluster.seats() == {"gpu": 40, "cpu": 10}
    assert {cluster.granted(key) for key in cluster.wanted} == {2.5}


def test_a_camera_that_wants_more_than_a_cpu_gives_one_camera_sits_on_the_gpu():
    cluster = Cluster()
    cluster.add_runtime("cpu", limits(30, max_camera_fps=5), local=True)
    cluster.add_runtime("gpu", limits(100))
    cluster.add_cameras(4, 15)
    cluster.run(1)
    assert cluster.seats() == {"gpu": 4}


def test_frames_stay_on_the_host_until_its_runtime_is_well_used():
    cluster = Cluster()
    cluster.add_runtime("here", limits(100), local=True)
    cluster.add_runtime("there", limits(100))
    cluster.add_cameras(6, 5)
    cluster.run(1)
    assert cluster.seats() == {"here": 6}
    cluster.add_cameras(12, 5)
    cluster.run(1)
    assert cluster.seats()["there"] in range(5, 8)
    assert all(cluster.granted(key) == 5 for key in cluster.wanted)


def test_what_was_measured_counts_beside_what_is_declared():
    cluster = Cluster()
    cluster.add_runtime("boaster", limits(100), measured_fps={"people": 10.0})
    cluster.add_runtime("modest", limits(100), measured_fps={"people": 90.0})
    cluster.add_cameras(10, 5)
    cluster.run(1)
    assert cluster.seats() == {"boaster": 1, "modest": 9}


def test_partly_overlapping_models_leave_each_model_its_part():
    cluster = Cluster()
    cluster.add_runtime("both", limits(30), models=("people", "cars"))
    cluster.add_runtime("cars", limits(30), models=("cars",))
    cluster.add_cameras(6, 5, "cars")
    cluster.add_cameras(6, 5, "people")
    cluster.run(30)
    assert sum(cluster.granted(key) for key in cluster.wanted) > 0.99 * 60


def test_a_lost_runtimes_cameras_sit_elsewhere_at_once_and_come_back_one_by_one():
    cluster = Cluster()
    cluster.add_runtime("one", limits(100))
    cluster.add_runtime("two", limits(100))
    cluster.add_cameras(20, 5)
    cluster.run(DWELL_S)
    assert cluster.seats() == {"one": 10, "two": 10}
    cluster.lose_runtime("one")
    cluster.run(0.5)
    assert cluster.seats() == {"two": 20}
    cluster.run(DWELL_S)
    cluster.moves.clear()
    cluster.add_runtime("one", limits(100))
    cluster.run(SUSTAINED_S)
    assert cluster.moves == []
    cluster.run(30)
    assert cluster.seats()["one"] in range(8, 11)
    per_second = Counter(int(now_s) for now_s, _ in cluster.moves)
    assert max(per_second.values()) == 1


def test_a_runtime_that_comes_and_goes_takes_nobody_who_has_enough():
    cluster = Cluster()
    cluster.add_runtime("steady", limits(100))
    cluster.add_cameras(15, 5)
    cluster.run(DWELL_S)
    for _ in range(20):
        cluster.add_runtime("flapping", limits(100))
        cluster.run(SUSTAINED_S - 1)
        cluster.lose_runtime("flapping")
        cluster.run(1)
    assert cluster.moves == []


def test_a_runtime_takes_as_many_cameras_as_it_declared_and_the_next_one_when_one_goes():
    cluster = Cluster()
    cluster.add_runtime("small", limits(30, max_streams=3))
    cluster.add_cameras(4, 1)
    cluster.run(1)
    left_out = next(key for key, seat in cluster.seat.items() if seat is None)
    assert cluster.scheduler.grant(left_out).reason.startswith(
        "every runtime that serves this model has as many cameras"
    )
    cluster.scheduler.unsubscribe(next(key for key, seat in cluster.seat.items() if seat == "small"))
    cluster.run(1)
    assert cluster.granted(left_out) == 1


def test_of_those_left_out_the_most_important_come_first():
    cluster = Cluster()
    cluster.add_cameras(3, 1, weight=1)
    cluster.add_cameras(3, 1, weight=10)
    cluster.run(1)
    cluster.add_runtime("small", limits(30, max_streams=3))
    cluster.run(1)
    assert {cluster.wanted[key][1] for key, seat in cluster.seat.items() if seat == "small"} == {10}
