"""What Triton counts: asked for over a connection of its own, so that no frame waits for it."""

import asyncio
import http.client
import re
import urllib.request
from collections.abc import Sequence

from gateway.domain.load import ModelCounters, RuntimeCounters
from gateway.errors import InferenceError
from gateway.inference.control import Durations, ModelStatistics
from gateway.inference.link import Link

METRICS_TIMEOUT_S = 1.0
LARGEST_METRICS_BYTES = 4_000_000
NANOSECOND_S = 1e-9

_PENDING = re.compile(rb"^nv_inference_pending_request_count\{.*\} (\d+)", re.MULTILINE)
_REJECTED = re.compile(rb'^nv_inference_request_failure\{.*reason="REJECTED".*\} (\d+)', re.MULTILINE)


class TritonObserver:
    """Looks at what one Triton counts.

    Args:
        link: A connection to it of its own.
        metrics_url: Address of its Prometheus metrics; None where it declares none: nothing is known of its queue then.
    """

    def __init__(self, link: Link, metrics_url: str | None) -> None:
        self._link = link
        self._metrics_url = metrics_url if metrics_url and metrics_url.startswith(("http://", "https://")) else None
        self._instances: dict[tuple[str, str], int] = {}
        self._requests: dict[tuple[str, str], int] = {}
        self._refused: int | None = None

    async def look(self, now_s: float, answered: int, late: int) -> RuntimeCounters:
        """Ask once.

        Args:
            now_s: Monotonic time.
            answered: This gateway's frames that were answered so far.
            late: Those that had no answer in time.

        Raises:
            InferenceError: Triton doesn't answer.
        """
        statistics = {(entry.name, entry.version): entry for entry in await self._ask()}
        self._forget_changed({key: entry.inference_stats.success.count for key, entry in statistics.items()})
        models = {key: counters(entry, await self._instances_of(*key)) for key, entry in statistics.items()}
        text = await asyncio.to_thread(_fetch, self._metrics_url) if self._metrics_url else None
        if text is not None:
            self._refused = sum(map(int, _REJECTED.findall(text)))
        return RuntimeCounters(
            at_s=now_s,
            models=models,
            refused=self._refused,
            pending=sum(map(int, _PENDING.findall(text or b""))),
            answered=answered,
            late=late,
        )

    async def _ask(self) -> Sequence[ModelStatistics]:
        await self._link.choose()
        return await self._link.control.statistics()

    def _forget_changed(self, requests: dict[tuple[str, str], int]) -> None:
        """Forget what was asked of models that were unloaded or loaded anew since: a new one counts from 0."""
        for key, before in self._requests.items():
            if requests.get(key, -1) < before:
                self._instances.pop(key, None)
        self._requests = requests

    async def _instances_of(self, model: str, version: str) -> int:
        """Executions of a model that may run at once; 1 where it was asked for nothing yet, or can't be asked now."""
        key = model, version
        if self._requests[key] == 0:  # of no consequence, and it may be loaded anew without a sign of it
            return 1
        if key not in self._instances:
            try:
                groups = (await self._link.control.config(model)).instance_group
            except InferenceError:
                return 1
            self._instances[key] = max(1, sum(group.count * max(1, len(group.gpus)) for group in groups))
        return self._instances[key]

    async def close(self) -> None:
        """Close the connection."""
        await self._link.close()


def counters(entry: ModelStatistics, instances: int) -> ModelCounters:
    """Read Triton's statistics of one model version."""
    requests, batches = entry.inference_stats, entry.batch_stats
    return ModelCounters(
        instances=instances,
        requests=requests.success.count,
        inferences=entry.inference_count,
        queue_s=requests.queue.ns * NANOSECOND_S,
        compute_s=_computed_s(requests),
        busy_s=sum(_computed_s(batch) for batch in batches),
    )


def _computed_s(durations: Durations) -> float:
    parts = durations.compute_input, durations.compute_infer, durations.compute_output
    return float(sum(part.ns for part in parts)) * NANOSECOND_S


def _fetch(url: str) -> bytes | None:
    """The metrics' text; None where they can't be had, as Triton may serve none."""
    try:
        with urllib.request.urlopen(url, timeout=METRICS_TIMEOUT_S) as answer:  # noqa: S310 - http(s), checked above
            return bytes(answer.read(LARGEST_METRICS_BYTES))
    except (OSError, ValueError, http.client.HTTPException):
        return None
