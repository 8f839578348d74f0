"""The fastest way to serve a model under a latency limit, found by trying: batch, instances, queue delay, threads."""

import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters import integrity, manifest, triton_config
from converters.cpu_stand_in import stands_in
from converters.errors import MissingError, ModelError
from converters.perf_analyzer import Load, longest_s, measure
from converters.pictures import PictureSet
from converters.repository import CONFIG_FILE, Repository
from converters.stage import staged
from converters.triton_server import trial_server
from converters.verify import frames_of

Clock = Callable[[], float]
"""Monotonic seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One way to serve.

    Attributes:
        max_batch_size: Largest dynamic batch.
        instances: Copies that run at once.
        threads: Of each copy.
        max_queue_delay_microseconds: Longest wait for a fuller batch.
    """

    max_batch_size: int
    instances: int
    threads: int
    max_queue_delay_microseconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A setting under one load.

    Attributes:
        setting: How it was served.
        load: What came of it.
        kept: Whether the 95th percentile is within the limit.
    """

    setting: Setting
    load: Load
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What came of a search.

    Attributes:
        name: Model.
        version: Served version.
        latency_limit_ms: On the 95th percentile of a request.
        best: Most frames a second within the limit.
        before: The setting until now, under the load that suited it best; None where it kept the limit under none.
        trials: All that were measured.
        too_slow: Settings whose measurement took longer than it can where the limit is kept.
        untried: Settings for which the time was too short.
    """

    name: str
    version: int
    latency_limit_ms: float
    best: Trial
    before: Trial | None
    trials: tuple[Trial, ...]
    too_slow: tuple[Setting, ...]
    untried: int


def candidates(cores: int, max_batch_size: int, *, on_cpu: bool) -> list[Setting]:
    """Return settings to try, likely ones first; on a CPU none has more threads than there are cores."""
    copies = sorted({1, max(1, cores // 2), cores} if on_cpu else {1, 2, 4})
    threads = sorted({1, 2, cores} if on_cpu else {1})
    batches = sorted({1, max_batch_size} if on_cpu else {max(1, max_batch_size // 2), max_batch_size})
    grid = itertools.product((0, 500, 2000), reversed(batches), reversed(copies), threads)
    return [
        Setting(max_batch_size=batch, instances=count, threads=each, max_queue_delay_microseconds=delay)
        for delay, batch, count, each in grid
        if (not on_cpu or count * each <= cores) and (batch > 1 or delay == 0)
    ]


def tune(
    root: Path,
    name: str,
    pictures: PictureSet,
    *,
    latency_limit_ms: float,
    seconds: float,
    requests: int,
    report: Callable[[str], None],
    clock: Clock = time.monotonic,
) -> Tuning:
    """Try settings of the served version in a real Triton until all are tried or the time is over.

    Raises:
        ModelError: The model can't be served, or no setting keeps the limit.
        MissingError: There is no Triton, no perf_analyzer, or not the GPU that the model is for.
    """
    repository = Repository(root)
    version = repository.served_version(name)
    integrity.check(root / name / str(version))
    config = triton_config.parse(repository.config(name) or "")
    if stands_in(root / name / CONFIG_FILE):
        raise MissingError(
            f"{name} is for a GPU, and there is none here: what is fastest on this CPU isn't there; tune it on a "
            "machine like the one that serves it"
        )
    frames = frames_of(pictures, triton_config.spec_of(config))
    now = setting_of(config)
    on_cpu = config["instance_group"][0].get("kind") == "KIND_CPU"
    largest = max(now.max_batch_size, _published_batch(root / name / str(version)))
    others = candidates(len(os.sched_getaffinity(0)), largest, on_cpu=on_cpu)
    order = [now, *(setting for setting in others if setting != now)]
    end = clock() + seconds
    trials: list[Trial] = []
    too_slow: list[Setting] = []
    tried = 0
    for setting in order:
        if tried and clock() > end:
            break
        report(f"try {_words(setting)}")
        text = triton_config.text_of(with_setting(config, setting))
        loads = _loads(repository, name, version, text, frames, setting, requests, latency_limit_ms)
        too_slow += [] if loads else [setting]
        trials += [Trial(setting=setting, load=load, kept=load.p95_ms <= latency_limit_ms) for load in loads]
        tried += 1
    best = _best(trials)
    if best is None:
        raise ModelError(_why_none(trials, latency_limit_ms, requests))
    return Tuning(
        name=name,
        version=version,
        latency_limit_ms=latency_limit_ms,
        best=best,
        before=_best([trial for trial in trials if trial.setting == now]),
        trials=tuple(trials),
        too_slow=tuple(too_slow),
        untried=len(order) - tried,
    )


def apply(root: Path, tuning: Tuning) -> None:
    """Serve the model by the best setting from its next load on.

    Raises:
        ModelError: Another version is served by now, or the repository can't be written.
    """
    repository = Repository(root)
    with staged(repository, lambda: None) as stage:
        if repository.served_version(tuning.name) != tuning.version:
            raise ModelError(f"another version of {tuning.name} was published meanwhile; tune it again")
        config = triton_config.parse(repository.config(tuning.name) or "")
        stage.serve(tuning.name, triton_config.text_of(with_setting(config, tuning.best.setting)))


def setting_of(config: dict[str, Any]) -> Setting:
    """Return how a parsed config.pbtxt has a model served."""
    values = triton_config.parameters_of(config)
    return Setting(
        max_batch_size=int(config["max_batch_size"]),
        instances=int(config["instance_group"][0].get("count", 1)),
        threads=int(values.get("intra_op_thread_count", 1)),
        max_queue_delay_microseconds=int(config["dynamic_batching"].get("max_queue_delay_microseconds", 0)),
    )


def with_setting(config: dict[str, Any], setting: Setting) -> dict[str, Any]:
    """Return a parsed config.pbtxt with another setting; where there is warm-up, it is of each batch size there is."""
    threads = {"string_value": str(setting.threads)}
    return {
        **config,
        "max_batch_size": setting.max_batch_size,
        "instance_group": [{**group, "count": setting.instances} for group in config["instance_group"]],
        "parameters": {**config["parameters"], "intra_op_thread_count": threads},
        "dynamic_batching": {
            **config["dynamic_batching"],
            "max_queue_delay_microseconds": setting.max_queue_delay_microseconds,
        },
        "model_warmup": _warmup(config.get("model_warmup", []), setting.max_batch_size),
    }


def _warmup(requests: Sequence[dict[str, Any]], largest: int) -> list[dict[str, Any]]:
    """Return the warm-up requests of batch sizes up to `largest`; those that a smaller one had cost come back."""
    kept = {int(request.get("batch_size", 1)): request for request in requests}
    sizes = range(1, largest + 1) if requests else ()
    return [kept.get(size, {**requests[0], "name": f"batch_of_{size}", "batch_size": size}) for size in sizes]


def _published_batch(folder: Path) -> int:
    """Return the largest batch that a version was published and proved for, whatever it was tuned to since."""
    serving = manifest.read(folder).get("serving")
    published = serving.get("max_batch_size") if isinstance(serving, dict) else None
    return published if isinstance(published, int) else 1


def rows(tuning: Tuning) -> Iterator[dict[str, Any]]:
    """Yield the trials as flat rows, for a table."""
    for trial in tuning.trials:
        yield {**asdict(trial.setting), **asdict(trial.load), "kept": trial.kept, "best": trial is tuning.best}


def _loads(
    repository: Repository,
    name: str,
    version: int,
    config: str,
    frames: NDArray[np.uint8],
    setting: Setting,
    requests: int,
    latency_limit_ms: float,
) -> list[Load]:
    """Measure with as many requests under way as there are instances, and with twice as many; empty if that is slow."""
    concurrencies = [setting.instances, 2 * setting.instances]
    timeout_s = longest_s(concurrencies, requests, latency_limit_ms)
    with TemporaryDirectory(prefix="ruth-convert-") as folder:
        stage = Path(folder)
        (stage / name).mkdir()
        for entry in (repository.root / name).iterdir():
            if entry.is_dir() and (entry.name == str(version) or not entry.name.isdecimal()):
                (stage / name / entry.name).symlink_to(entry.resolve())
        (stage / name / CONFIG_FILE).write_text(config, encoding="utf-8")
        with trial_server(stage, [name]) as server:
            return measure(server.grpc_url, name, frames, concurrencies, requests, timeout_s)


def _why_none(trials: Sequence[Trial], latency_limit_ms: float, requests: int) -> str:
    if not trials:
        return (
            f"no setting keeps {latency_limit_ms:g} ms: measuring {requests} requests takes longer than it can then; "
            "raise the limit, or give fewer --requests to see by how much"
        )
    fastest = min(trial.load.p95_ms for trial in trials)
    return f"no setting keeps {latency_limit_ms:g} ms; the fastest takes {fastest:.1f} ms: raise the limit"


def _best(trials: Sequence[Trial]) -> Trial | None:
    """Return the most frames a second within the limit."""
    return max((trial for trial in trials if trial.kept), key=lambda trial: trial.load.frames_per_s, default=None)


def _words(setting: Setting) -> str:
    return (
        f"{setting.instances} instances of {setting.threads} threads, batches of up to {setting.max_batch_size}, "
        f"{setting.max_queue_delay_microseconds} µs of queue delay"
    )
