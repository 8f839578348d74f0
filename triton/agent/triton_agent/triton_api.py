"""The few questions that the agent asks a running Triton over its HTTP interface."""

import contextlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from triton_agent.errors import UnreachableError
from triton_agent.rest import call


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One version of a model in Triton's repository index.

    Attributes:
        model_id: Its name.
        version: The version; empty while Triton has loaded none.
        loaded: Whether it can be called now.
    """

    model_id: str
    version: str
    loaded: bool


@dataclass(frozen=True, slots=True)
class Statistics:
    """What one version of a model has done since it was loaded.

    Attributes:
        inferences: Frames inferred.
        last_inference_s: Unix time of the last, 0 before the first.
    """

    inferences: int
    last_inference_s: float


class TritonApi:
    """Asks the server at one address; blocking, so call it in a thread.

    Args:
        url: `http://host:port`, kept as attribute.
        metrics_url: Address of its metrics, which threads of their own serve; asked by `alive` alone.
        timeout_s: Limit for each call.
    """

    def __init__(self, url: str, metrics_url: str | None = None, timeout_s: float = 1.0) -> None:
        self.url = url
        self._metrics_url = metrics_url
        self._timeout_s = timeout_s

    def ready(self) -> bool:
        """Whether the server says it is ready; False as long as nothing answers."""
        try:
            return call("GET", f"{self.url}/v2/health/ready", timeout_s=self._timeout_s).status == 200
        except UnreachableError:
            return False

    def alive(self) -> bool:
        """Whether the process still answers, whatever it says.

        Its metrics are asked too: loading models over HTTP keeps the HTTP interface's few threads busy for as long.
        """
        return any(self._answers(url) for url in (f"{self.url}/v2/health/live", self._metrics_url) if url)

    def models(self) -> tuple[ServedModel, ...]:
        """Every model of the repository, with the versions that Triton knows.

        Raises:
            UnreachableError: Triton does not answer, or something else does.
        """
        url = f"{self.url}/v2/repository/index"
        reply = call("POST", url, body={}, timeout_s=self._timeout_s)
        if reply.status != 200 or not isinstance(reply.body, list):
            raise UnreachableError(f"{url}: HTTP {reply.status}, no index of models")
        return tuple(
            ServedModel(entry["name"], entry.get("version", ""), entry.get("state") == "READY") for entry in reply.body
        )

    def unload(self, model: str) -> None:
        """Take a model out of service; whether it could is seen by asking for its models again.

        Raises:
            UnreachableError: Triton does not answer.
        """
        url = f"{self.url}/v2/repository/models/{quote(model, safe='')}/unload"
        call("POST", url, body={}, timeout_s=self._timeout_s)

    def accepts_shared_memory(self) -> bool:
        """Whether clients may register system shared memory: newer servers list the extension and refuse all the same.

        Raises:
            UnreachableError: Triton does not answer.
        """
        url = f"{self.url}/v2/systemsharedmemory/status"
        return call("GET", url, timeout_s=self._timeout_s).status == 200

    def config(self, model: str, version: str) -> dict[str, Any]:
        """Configuration of a version of a model that is loaded.

        Raises:
            UnreachableError: Triton does not answer, or doesn't have it.
        """
        return self._asked(f"{self.url}/v2/models/{quote(model, safe='')}/versions/{version}/config")

    def statistics(self) -> dict[tuple[str, str], Statistics]:
        """What each loaded model has done, by name and version.

        Raises:
            UnreachableError: Triton does not answer, or what answers isn't Triton.
        """
        url = f"{self.url}/v2/models/stats"
        try:
            return {
                (entry["name"], entry["version"]): Statistics(
                    int(entry.get("inference_count", 0)), int(entry.get("last_inference", 0)) / 1000
                )
                for entry in self._asked(url)["model_stats"]
            }
        except (KeyError, TypeError, ValueError) as error:
            raise UnreachableError(f"{url}: these are no statistics of Triton's") from error

    def register_shared_memory(self, region: str, byte_size: int) -> bool:
        """Make the region `/region` known under its name; False where the server refuses.

        Raises:
            UnreachableError: Triton does not answer.
        """
        url = f"{self.url}/v2/systemsharedmemory/region/{region}/register"
        body = {"key": f"/{region}", "byte_size": byte_size}
        return call("POST", url, body=body, timeout_s=self._timeout_s).status == 200

    def unregister_shared_memory(self, region: str) -> None:
        """Make the server forget a region; one that has gone has forgotten it."""
        with contextlib.suppress(UnreachableError):
            call("POST", f"{self.url}/v2/systemsharedmemory/region/{region}/unregister", timeout_s=self._timeout_s)

    def _asked(self, url: str) -> dict[str, Any]:
        reply = call("GET", url, timeout_s=self._timeout_s)
        if reply.status != 200 or not isinstance(reply.body, dict):
            raise UnreachableError(f"{url}: HTTP {reply.status}")
        return reply.body

    def _answers(self, url: str) -> bool:
        try:
            call("GET", url, timeout_s=self._timeout_s)
        except UnreachableError:
            return False
        return True
