"""A Triton that is serving already: told to load a version, and asked whether it really does."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import triton_to_np_dtype

from converters.errors import MissingError, ModelError
from converters.onnx_probe import FREE_AXIS

LOAD_TIMEOUT_S = 300.0
"""A TensorRT plan or a warm-up on a small board takes minutes."""
ASK_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class LiveServer:
    """A running Triton of the repository that is published into, with `--model-control-mode=explicit`.

    Attributes:
        grpc_url: `host:port`.
    """

    grpc_url: str

    def check(self) -> None:
        """Find out whether it answers, before anything is changed for it.

        Raises:
            MissingError: It doesn't.
        """
        with triton.InferenceServerClient(self.grpc_url) as client:
            try:
                live = client.is_server_live(client_timeout=ASK_TIMEOUT_S)
            except triton.InferenceServerException as error:
                raise MissingError(f"no Triton answers at {self.grpc_url} ({error.message()}); start it") from error
        if not live:
            raise MissingError(f"the Triton at {self.grpc_url} is not live; see its log")

    def config(self, name: str, version: int) -> dict[str, Any]:
        """Return the configuration that a version of a model is served with.

        Raises:
            ModelError: It isn't served.
        """
        with triton.InferenceServerClient(self.grpc_url) as client:
            try:
                answer: Any = client.get_model_config(name, str(version), as_json=True, client_timeout=ASK_TIMEOUT_S)
            except triton.InferenceServerException as error:
                raise ModelError(
                    f"{self.grpc_url} does not serve {name} version {version}: {error.message()}"
                ) from error
        config: dict[str, Any] = answer["config"]
        return config

    def load(self, name: str, version: int) -> None:
        """Load what the repository says now, and see that this version is ready and answers a request.

        A load call may answer "done" and leave the version before in service, so its word is not taken for it.

        Raises:
            ModelError: It doesn't load, doesn't get ready or can't answer.
        """
        with triton.InferenceServerClient(self.grpc_url) as client:
            try:
                client.load_model(name, client_timeout=LOAD_TIMEOUT_S)
                ready = client.is_model_ready(name, str(version), client_timeout=ASK_TIMEOUT_S)
                if ready:
                    _ask(client, name, version)
            except triton.InferenceServerException as error:
                raise ModelError(f"{self.grpc_url} can't serve {name} version {version}: {error.message()}") from error
        if not ready:
            raise ModelError(
                f"{self.grpc_url} loaded {name} but not version {version}; does it serve this repository? With "
                f"--model-config-name it follows {name}/configs/, not config.pbtxt"
            )

    def unload(self, name: str) -> None:
        """Take a model out of service.

        Raises:
            ModelError: It refuses.
        """
        with triton.InferenceServerClient(self.grpc_url) as client:
            try:
                client.unload_model(name, client_timeout=ASK_TIMEOUT_S)
            except triton.InferenceServerException as error:
                raise ModelError(f"{self.grpc_url} can't unload {name}: {error.message()}") from error


def _ask(client: Any, name: str, version: int) -> None:  # noqa: ANN401  # tritonclient has no types
    """Send one request of zeros, of the shape that it was tried with before it was published."""
    config = client.get_model_config(name, str(version), as_json=True, client_timeout=ASK_TIMEOUT_S)["config"]
    batch = [1] if int(config.get("max_batch_size", 0)) else []
    inputs = [_zeros(tensor, batch) for tensor in config["input"]]
    if all(tensor is not None for tensor in inputs):
        client.infer(name, inputs, str(version), client_timeout=ASK_TIMEOUT_S)


def _zeros(tensor: dict[str, Any], batch: list[int]) -> Any:  # noqa: ANN401
    """Return zeros for an input; a free axis has `FREE_AXIS`, the first one of all, which may be a batch, 1."""
    dtype = str(tensor["data_type"]).removeprefix("TYPE_")
    if dtype == "STRING":
        return None
    shape = [*batch, *map(int, tensor["dims"])]
    shape = [size if size > 0 else FREE_AXIS if axis else 1 for axis, size in enumerate(shape)]
    zeros: NDArray[Any] = np.zeros(shape, dtype=triton_to_np_dtype(dtype))
    asked = triton.InferInput(tensor["name"], shape, dtype)
    asked.set_data_from_numpy(zeros)
    return asked
