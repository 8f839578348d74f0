"""The scheduler alone: what a decision costs, and 10,000 cameras through failures on a virtual clock."""

import gc
import statistics
import sys
import time
from collections.abc import Iterator

from part import CHECKOUT, Bench, Goal, Table

from gateway.domain.capability import RuntimeLimits
from gateway.scheduler import Dispatch, Scheduler, SubscriptionKey

sys.path.insert(0, str(CHECKOUT))
from tests.support.cluster import a_day_of_failures
from tests.support.pictures import a_frame

MODELS = ("people", "cars", "falls", "smoke")
FPS = 5.0
UNTIL_S = 40


def measure(bench: Bench) -> Iterator[Table | Goal]:
    """Decisions first, as they take no time; then the simulation."""
    sizes = ((100, 1), (1000, 10), (10_000, 100), (10_000, 1))
    costs = {size: median_costs(*size, repeats=bench.repeats) for size in sizes}
    yield Table(
        "A decision, microseconds of processor time",
        ("cameras", "runtimes", "take a frame", "choose one", "take its answer", "settle one more camera"),
        [(*size, *(round(cost, 2) for cost in costs[size])) for size in sizes],
        note="Settling places the camera, and shares its runtime again among all that are on it; at most every 50 ms.",
    )
    worst_us = max(costs[size][1] for size in sizes[2:])
    yield Goal("choosing a frame, 10,000 cameras", "<= 5 us", f"{worst_us:.2f} us", worst_us <= 5)
    yield from simulate(*((1000, 20) if bench.quick else (10_000, 100)))


def median_costs(cameras: int, runtimes: int, repeats: int) -> tuple[float, ...]:
    """Medians over runs, one of each kind of cost at a time."""
    return tuple(map(statistics.median, zip(*(costs_us(cameras, runtimes) for _ in range(repeats)), strict=True)))


def costs_us(cameras: int, runtimes: int) -> tuple[float, float, float, float]:
    """Processor time of `offer`, `next`, `complete`, and of one more camera, at 10 % more demand than there is."""
    scheduler, frame = Scheduler(), a_frame(resolution_wh=(2, 2))
    limits = RuntimeLimits(
        max_fps=cameras * FPS / runtimes / 1.1, max_camera_fps=FPS, batch_size=max(4, cameras // runtimes), timeout_s=2
    )
    for i in range(runtimes):
        scheduler.set_runtime(f"triton-{i}", limits, MODELS, ready=True)
    keys = [(f"camera-{i}", MODELS[i % len(MODELS)]) for i in range(cameras)]
    for key in keys:
        scheduler.subscribe(key, FPS)
    scheduler.settle(0.0)
    gc.collect()
    offering, choosing, completing, now_s, rounds = 0, 0, 0, 1.0, max(1, 100_000 // cameras)
    count = 0
    for _ in range(rounds):
        now_s += 1.1 / FPS
        started = time.process_time_ns()
        for key in keys:
            scheduler.offer(key, frame, now_s)
        offering += time.process_time_ns() - started
        started = time.process_time_ns()
        sent: list[Dispatch] = []
        while (dispatch := scheduler.next(now_s)[0]) is not None:
            sent.append(dispatch)
        choosing += time.process_time_ns() - started
        started = time.process_time_ns()
        for each in sent:
            scheduler.complete(each, 0.01)
        completing += time.process_time_ns() - started
        count += len(sent)
    adding_ns = one_more(scheduler, now_s, ("one more", MODELS[0]))
    return (
        offering / (rounds * cameras) / 1e3,
        choosing / count / 1e3,
        completing / count / 1e3,
        adding_ns / 1e3,
    )


def one_more(scheduler: Scheduler, now_s: float, key: SubscriptionKey) -> int:
    """Processor time, in nanoseconds, from asking for a camera to everybody's new grants."""
    scheduler.settle(now_s)
    started = time.process_time_ns()
    scheduler.subscribe(key, FPS)
    scheduler.settle(now_s + 1e-3)
    return time.process_time_ns() - started


def simulate(cameras: int, runtimes: int) -> Iterator[Table | Goal]:
    """Crashes at 4 s, a slow-down at 6 s, a drain at 8 s; they are back at 12, 14 and 16 s."""
    started_s = time.process_time()
    cluster = a_day_of_failures(cameras, runtimes)
    cluster.run(UNTIL_S - 10)
    cluster.restart_books()
    cluster.run(UNTIL_S)
    cluster.close_books()
    took_s = time.process_time() - started_s
    columns = tuple(cluster.seconds[0])
    yield Table(
        f"{cameras} cameras on {runtimes} runtimes, every two seconds",
        columns,
        [tuple(round(second[column]) for column in columns) for second in cluster.seconds if second["second"] % 2 == 0],
        note=f"{cluster.offered} frames in {took_s:.0f} s of processor time; dropped: {dict(cluster.dropped)}.",
    )
    promised = sum(camera.promised for camera in cluster.cameras.values())
    part = sum(camera.inferred for camera in cluster.cameras.values()) / promised
    yield Goal("frames inferred of those granted, the last 10 s", ">= 98 %", f"{part:.2%}", part >= 0.98)
    off = sum(
        abs(camera.inferred - camera.promised) > max(2.0, 0.05 * camera.promised) for camera in cluster.cameras.values()
    )
    yield Goal("cameras more than 5 % and 2 frames off their grants", "0", str(off), off == 0)
    away_s = cluster.longest_away_s
    yield Goal("a lost runtime's cameras are elsewhere", "<= 2 s", f"{away_s:.2f} s", 0 < away_s <= 2)
