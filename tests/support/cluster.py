"""A cluster on a virtual clock: the real scheduler, simulated cameras and runtimes, and failures on schedule.

Nothing here waits or reads a clock. A runtime has a queue and some instances, like Triton; a camera offers what its
gate would let through of a stream of its own rate and phase.
"""

import heapq
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from gateway.domain.capability import RuntimeLimits
from gateway.sampling import FpsGate
from gateway.scheduler import Dispatch, Drop, Grant, Scheduler
from tests.support.pictures import a_frame

MODELS = ("people", "cars", "falls")
SETTLE_S, UPKEEP_S = 0.05, 0.5
NOTICED_S = 0.05
"""From a crash to the broken connection."""

CORRECTED_S = 2.0
"""From a slow-down to lowered limits."""


@dataclass(slots=True)
class SimulatedRuntime:
    """A Triton with some instances behind one queue; it does 1.2 times what it declares, while it is well."""

    name: str
    limits: RuntimeLimits
    models: tuple[str, ...]
    instances: int
    slowed: float = 1.0
    alive: bool = True
    draining: bool = False
    free_s: list[float] = field(default_factory=list)
    sent: "Counter[int]" = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.free_s = [0.0] * self.instances

    def answer_s(self, now_s: float) -> float:
        """When a frame that comes now will be answered."""
        service_s = self.slowed * self.instances / (1.2 * self.limits.max_fps)
        done_s = max(now_s, heapq.heappop(self.free_s)) + service_s
        heapq.heappush(self.free_s, done_s)
        return done_s


@dataclass(slots=True)
class SimulatedCamera:
    """A stream of `source_fps` that begins at `phase_s`, what was inferred of it, and what was promised."""

    key: tuple[str, str]
    wanted_fps: float
    weight: int
    source_fps: float
    phase_s: float
    gate: FpsGate
    index: int = 0
    inferred: int = 0
    promised: float = 0.0
    promised_s: float = 0.0
    grant: Grant | None = None
    lost_s: float | None = None

    def promise(self, grant: Grant | None, now_s: float) -> None:
        """It was granted something until now, and gets something else from now on."""
        self.promised += (now_s - self.promised_s) * (self.grant.granted_fps if self.grant else 0.0)
        self.promised_s, self.grant = now_s, grant


class Cluster:
    """Cameras and runtimes around one scheduler.

    Attributes:
        now_s: The virtual time.
        offered: Frames that passed a gate.
        inferred: Frames that were answered.
        dropped: Frames dropped, by cause.
        moves: Cameras that went from one runtime to another, by second; those of lost runtimes don't count.
        longest_away_s: The longest that a camera of a lost runtime waited for another.
        seconds: What was granted and inferred, and how many cameras had no runtime, second by second.
    """

    def __init__(self, cameras: int, runtimes: int, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.now_s = 0.0
        self.scheduler = Scheduler()
        self.runtimes = {runtime.name: runtime for runtime in map(self._runtime, range(runtimes))}
        self.cameras = {camera.key: camera for camera in map(self._camera, range(cameras))}
        self.offered = self.inferred = 0
        self.dropped: Counter[str] = Counter()
        self.moves: Counter[int] = Counter()
        self.longest_away_s = 0.0
        self.seconds: list[dict[str, float]] = []
        self._flying: dict[Dispatch, SimulatedRuntime] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._settle_at_s: float | None = None
        self._wake_s = math.inf
        self._inferred_before = 0
        for runtime in self.runtimes.values():
            self._declare(runtime)
        for camera in self.cameras.values():
            self.scheduler.subscribe(camera.key, camera.wanted_fps, camera.weight)
            self._show(camera)
        self._upkeep()

    # What a test or a benchmark does to it

    def at(self, time_s: float, change: Callable[[str], None], *names: str) -> None:
        """Have something happen to some runtimes."""
        for name in names:
            self._at(time_s, lambda name=name: change(name))

    def crash(self, name: str) -> None:
        """It dies: frames on their way fail once that is noticed, and its cameras move."""
        runtime = self.runtimes[name]
        runtime.alive = False
        for camera in self.cameras.values():
            if camera.grant is not None and camera.grant.runtime_id == name:
                camera.lost_s = self.now_s
        self._at(self.now_s + NOTICED_S, lambda: self._lost(runtime))

    def recover(self, name: str) -> None:
        """It is back, empty."""
        runtime = self.runtimes[name]
        runtime.alive, runtime.free_s = True, [self.now_s] * runtime.instances
        self._declare(runtime)

    def slow_down(self, name: str, factor: float = 4.0) -> None:
        """It takes longer, and a while later its limits are lowered to what it still does; 1 makes it well again."""
        runtime = self.runtimes[name]
        runtime.slowed = factor
        self._at(self.now_s + CORRECTED_S, lambda: self._declare(runtime))

    def drain(self, name: str, *, draining: bool = True) -> None:
        """No more frames to it, while those on their way are answered."""
        self.runtimes[name].draining = draining
        self._declare(self.runtimes[name])

    def undrain(self, name: str) -> None:
        """Frames again."""
        self.drain(name, draining=False)

    def run(self, until_s: float) -> None:
        """Let time pass."""
        while self._events[0][0] <= until_s:
            self.now_s, _, happen = heapq.heappop(self._events)
            happen()
        self.now_s = until_s

    def restart_books(self) -> None:
        """Count what cameras get, and are promised, from now on."""
        for camera in self.cameras.values():
            camera.promise(camera.grant, self.now_s)
            camera.inferred, camera.promised = 0, 0.0

    def close_books(self) -> None:
        """Count what cameras were promised until now."""
        for camera in self.cameras.values():
            camera.promise(camera.grant, self.now_s)

    # Inside

    def _runtime(self, number: int) -> SimulatedRuntime:
        kind, fps, camera_fps, batch, timeout_s, instances = (
            ("gpu", 400.0, 400.0, 8, 0.1, 4),
            ("jetson", 50.0, 50.0, 2, 0.2, 2),
            ("cpu", 30.0, 5.0, 1, 2.0, 1),
            ("cpu", 30.0, 5.0, 1, 2.0, 1),
            ("cpu", 30.0, 5.0, 1, 2.0, 1),
        )[number % 5]
        limits = RuntimeLimits(max_fps=fps, max_camera_fps=camera_fps, batch_size=batch, timeout_s=timeout_s)
        models = MODELS if kind == "gpu" else MODELS[: 1 + number % 2]
        return SimulatedRuntime(f"{kind}-{number:03}", limits, models, instances)

    def _camera(self, number: int) -> SimulatedCamera:
        model = self.random.choices(MODELS, (6, 3, 1))[0]
        wanted_fps = self.random.choice((0.8, 1.0, 1.5))
        source_fps = self.random.choice((5, 10, 25))
        weight = self.random.choice((1, 5, 5, 5, 10))
        gate, phase_s = FpsGate(wanted_fps), self.random.uniform(0, 1)
        return SimulatedCamera((f"camera-{number}", model), wanted_fps, weight, source_fps, phase_s, gate)

    def _declare(self, runtime: SimulatedRuntime) -> None:
        limits = msgspec.structs.replace(runtime.limits, max_fps=runtime.limits.max_fps / runtime.slowed)
        ready = runtime.alive and not runtime.draining
        self.scheduler.set_runtime(runtime.name, limits, runtime.models, ready=ready)
        self._settle_soon()

    def _lost(self, runtime: SimulatedRuntime) -> None:
        self._declare(runtime)
        for dispatch in [each for each, there in self._flying.items() if there is runtime]:
            self._answer(dispatch, "unavailable", None)

    def _at(self, time_s: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time_s, next(self._numbers), happen))

    def _upkeep(self) -> None:
        if self.now_s == int(self.now_s) and self.now_s:
            grants = [camera.grant for camera in self.cameras.values() if camera.grant is not None]
            self.seconds.append(
                {
                    "second": self.now_s,
                    "granted": sum(grant.granted_fps for grant in grants),
                    "inferred": self.inferred - self._inferred_before,
                    "without a runtime": sum(grant.runtime_id is None for grant in grants),
                    "moved": self.moves[int(self.now_s) - 1],
                }
            )
            self._inferred_before = self.inferred
        self._settle()
        self._at(self.now_s + UPKEEP_S, self._upkeep)

    def _settle_soon(self) -> None:
        if self._settle_at_s is None:
            self._settle_at_s = self.now_s + SETTLE_S
            self._at(self._settle_at_s, self._settle)

    def _settle(self) -> None:
        self._settle_at_s = None
        settlement = self.scheduler.settle(self.now_s)
        for key, grant in settlement.granted:
            camera = self.cameras[key]
            if camera.lost_s is not None and grant.runtime_id is not None:
                self.longest_away_s = max(self.longest_away_s, self.now_s - camera.lost_s)
                camera.lost_s = None
            elif camera.grant is not None and grant.runtime_id != camera.grant.runtime_id is not None:
                self.moves[int(self.now_s)] += not self.runtimes[camera.grant.runtime_id].draining
            camera.promise(grant, self.now_s)
            camera.gate.fps = grant.granted_fps or grant.wanted_fps
            self._show(camera)
        self._drop(settlement.drops)
        self._pump()

    def _offer(self, camera: SimulatedCamera) -> None:
        if camera.gate.admit(self.now_s):
            self.offered += 1
            self._drop(self.scheduler.offer(camera.key, _FRAME, self.now_s))
            self._pump()
        self._show(camera, skip=int(camera.source_fps / camera.gate.fps * 0.7))  # the gate admits none of those

    def _show(self, camera: SimulatedCamera, skip: int = 0) -> None:
        """Have the camera's next frame come, some being skipped; one that was to come before doesn't."""
        camera.index = skip + max(0, math.floor((self.now_s - camera.phase_s) * camera.source_fps + 1.000001))
        expected = camera.index

        def come() -> None:
            if camera.index == expected:
                self._offer(camera)

        self._at(camera.phase_s + camera.index / camera.source_fps, come)

    def _pump(self) -> None:
        while True:
            dispatch, drops = self.scheduler.next(self.now_s)
            self._drop(drops)
            if dispatch is None:
                break
            self._send(dispatch)
        wake_s = self.scheduler.wake_s
        if wake_s is not None and wake_s < self._wake_s:
            self._wake_s = wake_s
            self._at(wake_s, lambda: self._wake(wake_s))

    def _wake(self, wake_s: float) -> None:
        if wake_s == self._wake_s:  # none was asked for before it
            self._wake_s = math.inf
            self._pump()

    def _send(self, dispatch: Dispatch) -> None:
        runtime = self.runtimes[dispatch.runtime_id]
        runtime.sent[int(self.now_s)] += 1
        self._flying[dispatch] = runtime
        if not runtime.alive:
            return  # until it is noticed
        sent_s, done_s = self.now_s, runtime.answer_s(self.now_s)
        if done_s <= dispatch.deadline_s:
            self._at(done_s, lambda: self._answer(dispatch, "inferred", done_s - sent_s))
        else:
            self._at(dispatch.deadline_s, lambda: self._answer(dispatch, "timeout", None))

    def _answer(self, dispatch: Dispatch, how: str, latency_s: float | None) -> None:
        if self._flying.pop(dispatch, None) is None:
            return  # it failed when its runtime did
        if how == "inferred":
            self.inferred += 1
            self.cameras[dispatch.key].inferred += 1
        else:
            self.dropped[how] += 1
        self.scheduler.complete(dispatch, latency_s)
        self._pump()

    def _drop(self, drops: list[Drop]) -> None:
        for drop in drops:
            self.dropped[drop.cause.value] += 1

    @property
    def unsettled(self) -> int:
        """Frames that wait or are on their way."""
        return len(self._flying) + sum(self.scheduler.queue_depth(key) for key in self.cameras)


_FRAME = a_frame(resolution_wh=(2, 2))


def a_day_of_failures(cameras: int, runtimes: int, seed: int = 1) -> Cluster:
    """Crashes, a slow-down, a drain and the way back from each, within 20 s; the next 20 s are calm."""
    cluster = Cluster(cameras, runtimes, seed)
    gpu, jetson, *cpus = (name for name in cluster.runtimes if int(name[-3:]) < 5)
    cluster.at(4.0, cluster.crash, gpu, jetson)
    cluster.at(6.0, cluster.slow_down, cpus[0])
    cluster.at(8.0, cluster.drain, cpus[1])
    cluster.at(12.0, cluster.recover, gpu, jetson)
    cluster.at(14.0, lambda name: cluster.slow_down(name, 1.0), cpus[0])
    cluster.at(16.0, cluster.undrain, cpus[1])
    return cluster
