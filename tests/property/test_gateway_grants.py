"""What the cameras get: max-min fair, never more than there is, and never of a runtime that doesn't serve them."""

import math

from hypothesis import given
from hypothesis import strategies as st

from gateway.scheduler.grants import Capacity, Demand, share, water_fill

Keys = st.tuples(st.text("abcdef", min_size=1, max_size=3), st.sampled_from("xyz"))
Fps = st.just(0.0) | st.floats(1e-3, 1000)
Demands = st.dictionaries(Keys, st.builds(Demand, Fps, Fps), max_size=20)


@given(demands=Demands, capacity_fps=Fps)
def test_nobody_gets_more_than_wanted_or_allowed_and_all_together_no_more_than_there_is(demands, capacity_fps):
    grants = water_fill(demands, capacity_fps)
    assert grants.keys() == demands.keys()
    for key, grant in grants.items():
        assert 0 <= grant.granted_fps <= min(demands[key].wanted_fps, demands[key].cap_fps)
        assert grant.wanted_fps == demands[key].wanted_fps
        assert bool(grant.reason) == (grant.granted_fps < grant.wanted_fps)
    assert sum(g.granted_fps for g in grants.values()) <= capacity_fps * (1 + 1e-9)


@given(demands=Demands, capacity_fps=Fps)
def test_only_who_gets_as_much_as_anyone_goes_short_and_nothing_is_left_over(demands, capacity_fps):
    grants = water_fill(demands, capacity_fps)
    limits = {key: min(demand.wanted_fps, demand.cap_fps) for key, demand in demands.items()}
    short = [key for key in grants if grants[key].granted_fps < limits[key] * (1 - 1e-9)]
    most = max((grant.granted_fps for grant in grants.values()), default=0)
    assert all(math.isclose(grants[key].granted_fps, most, rel_tol=1e-6) for key in short)
    if short:
        assert math.isclose(sum(g.granted_fps for g in grants.values()), capacity_fps, rel_tol=1e-6, abs_tol=1e-9)


@given(demands=Demands)
def test_no_capacity_grants_nothing_and_says_why(demands):
    for grant in water_fill(demands, 0).values():
        assert grant.granted_fps == 0
        assert bool(grant.reason) == (grant.wanted_fps > 0)


@given(
    wanted=st.dictionaries(Keys, st.floats(0.1, 100), max_size=12),
    runtimes=st.lists(
        st.builds(Capacity, st.frozensets(st.sampled_from("xyz")), st.floats(1, 100), st.floats(1, 100)), max_size=4
    ),
)
def test_what_a_models_cameras_get_comes_from_runtimes_of_its_pool(wanted, runtimes):
    grants = share(wanted, runtimes)
    assert grants.keys() == wanted.keys()
    total = sum(r.max_fps for r in runtimes if r.models & {model for _, model in wanted})
    assert sum(g.granted_fps for g in grants.values()) <= total * (1 + 1e-9)
    for (_, model), grant in grants.items():
        serving = [r for r in runtimes if model in r.models]
        assert grant.granted_fps <= max((r.max_camera_fps for r in serving), default=0)
        assert (grant.granted_fps > 0) == bool(serving)


def test_a_fast_runtime_of_another_model_gives_nothing_to_a_crowd():
    crowd = {(f"camera-{i}", "people"): 10.0 for i in range(10)}
    runtimes = [Capacity(frozenset({"people"}), 20, 20), Capacity(frozenset({"cars"}), 1000, 1000)]
    grants = share(crowd | {("road", "cars"): 60.0}, runtimes)
    assert {grants[key].granted_fps for key in crowd} == {2.0}
    assert grants["road", "cars"].granted_fps == 60
