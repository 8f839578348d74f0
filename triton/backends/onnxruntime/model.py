"""ONNX Runtime on the CPU as a Python-based Triton backend under the official name `onnxruntime`.

Triton loads this file for every model whose configuration says `backend: "onnxruntime"` where NVIDIA's C++ backend is
not installed; the model repository is the same for both. One instance of a model is one process with one session.
What the configuration fields mean: https://github.com/triton-inference-server/onnxruntime_backend (README).
"""

# ruff: noqa: ANN401 -- neither Triton's objects nor ONNX Runtime's have types

import ctypes
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils  # pyright: ignore[reportMissingImports] # inside Triton

Tensors: TypeAlias = dict[str, npt.NDArray[Any]]
Config: TypeAlias = dict[str, Any]

CONSUMED = b"used_dltensor"  # https://dmlc.github.io/dlpack/latest/python_spec.html; must outlive every capsule
rename_capsule = ctypes.pythonapi.PyCapsule_SetName
rename_capsule.argtypes = [ctypes.py_object, ctypes.c_char_p]

DEFAULT_MAX_BATCH_SIZE = 4  # what the official backend's auto-complete fills in
TYPE_OF_ONNX = {  # what DLPack and numpy can both express: no strings, no bfloat16
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
}


class Call(NamedTuple):
    """One request: its input tensors by name and the names of the outputs it asks for."""

    feeds: Tensors
    wanted: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Length of the batch axis, the first one of every input."""
        return int(next(iter(self.feeds.values())).shape[0])

    @property
    def signature(self) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
        """What two requests must share to be run as one batch: names, dtypes and shapes behind the batch axis."""
        return tuple(sorted((name, array.dtype.str, array.shape[1:]) for name, array in self.feeds.items()))


class TritonPythonModel:
    """One instance of one model (the class and its methods are named by Triton's Python backend)."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Fill in inputs, outputs, batch size and dynamic batching as the official backend does.

        A configuration that gives its inputs and outputs is left alone, and the model file is not even opened: Triton
        starts a process for this call alone, and importing ONNX Runtime there would double the time to load.

        Raises:
            ValueError: `max_batch_size` is set but the graph's batch axis is not dynamic.
        """
        config = auto_complete_model_config.as_dict()
        if config.get("input") and config.get("output"):
            return auto_complete_model_config
        session = open_session(model_file(Path(pb_utils.get_model_dir()), config), config)
        graph = [*session.get_inputs(), *session.get_outputs()]
        batching = all(len(tensor.shape) > 0 and not isinstance(tensor.shape[0], int) for tensor in graph)
        if not batching and config["max_batch_size"] > 0:
            raise ValueError(
                f"model '{config['name']}' has max_batch_size {config['max_batch_size']}, but the first axis of its "
                "inputs and outputs is not dynamic: set max_batch_size to 0 or export it with a dynamic batch axis"
            )
        if batching:
            auto_complete_model_config.set_max_batch_size(config["max_batch_size"] or DEFAULT_MAX_BATCH_SIZE)
            if config["max_batch_size"] > 1:
                auto_complete_model_config.set_dynamic_batching()
        for tensor in session.get_inputs():
            auto_complete_model_config.add_input(described(tensor, batching))
        for tensor in session.get_outputs():
            auto_complete_model_config.add_output(described(tensor, batching))
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Open the model file of this version and check it against the configuration.

        Args:
            args: Triton's strings; `model_repository` is the model's own folder, `model_version` the served version.

        Raises:
            FileNotFoundError: The version folder holds no model file.
            ValueError: ONNX Runtime can't load the file, or its tensors are not those of the configuration.
        """
        config = json.loads(args["model_config"])
        if args["model_instance_kind"] == "GPU":
            pb_utils.Logger.log_warn(f"{args['model_name']}: this backend runs on the CPU, also for KIND_GPU")
        path = model_file(Path(args["model_repository"]) / args["model_version"], config)
        self._session = open_session(path, config)
        check_signature(path, config, self._session)
        self._batching = config["max_batch_size"] > 0

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests, those of equal shape by one run of the session.

        Args:
            requests: What Triton's scheduler put together; their batch axes add up to `max_batch_size` at most.

        Returns:
            One `InferenceResponse` for each request, in order; an error is the answer of the request that caused it.
        """
        calls = [read(request) for request in requests]
        responses: list[Any] = [None] * len(calls)
        for indices in groups(calls) if self._batching else ([index] for index in range(len(calls))):
            for index, response in zip(indices, self._answer([calls[index] for index in indices]), strict=True):
                responses[index] = response
        return responses

    def _answer(self, calls: Sequence[Call]) -> list[Any]:
        """Run calls of equal signature together; if that fails, each alone, so that only the culprit gets an error."""
        names = sorted({name for call in calls for name in call.wanted})
        try:
            outputs = dict(zip(names, self._session.run(names, joined(calls)), strict=True))
            shares = split(outputs, [call.rows for call in calls]) if self._batching else [outputs]
        except ort_errors() as error:
            if len(calls) == 1:
                return [pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))]
            return [response for call in calls for response in self._answer([call])]
        return [
            pb_utils.InferenceResponse([written(name, share[name]) for name in call.wanted])
            for call, share in zip(calls, shares, strict=True)
        ]


def model_file(version_dir: Path, config: Config) -> Path:
    """The file to load: `default_model_filename` of the configuration, else `model.onnx`, in the version's folder.

    Raises:
        FileNotFoundError: There is no such file.
    """
    path = version_dir / (config.get("default_model_filename") or "model.onnx")
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist (default_model_filename names another file than model.onnx)")
    return path


def open_session(path: Path, config: Config) -> Any:
    """An `onnxruntime.InferenceSession` on the CPU with the options of a model configuration.

    Raises:
        ValueError: ONNX Runtime refuses the file or an option; the message carries the path and the cause.
    """
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(path, session_options(config), providers=["CPUExecutionProvider"])
    except ort_errors() as error:
        raise ValueError(f"{path}: {error}") from error


def session_options(config: Config) -> Any:
    """The `onnxruntime.SessionOptions` that a model configuration asks for.

    `intra_op_thread_count` unset (or 0): the cores this process may use, divided among the model's instances.

    Raises:
        ValueError: A parameter is not a number, or `execution_mode` is neither 0 nor 1.
    """
    import onnxruntime as ort

    parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
    options = ort.SessionOptions()
    instances = sum(group.get("count", 1) for group in config.get("instance_group", [])) or 1
    options.intra_op_num_threads = int(parameters.get("intra_op_thread_count", 0)) or max(
        1, len(os.sched_getaffinity(0)) // instances
    )
    options.inter_op_num_threads = int(parameters.get("inter_op_thread_count", 0))
    modes = {0: ort.ExecutionMode.ORT_SEQUENTIAL, 1: ort.ExecutionMode.ORT_PARALLEL}
    mode = int(parameters.get("execution_mode", 0))
    if mode not in modes:
        raise ValueError(f"parameter execution_mode is 0 (sequential) or 1 (parallel), not {mode}")
    options.execution_mode = modes[mode]
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    options.graph_optimization_level = {
        -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
        2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    }.get(level, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def check_signature(path: Path, config: Config, session: Any) -> None:
    """Compare the configuration's inputs and outputs with the model file's.

    Raises:
        ValueError: A tensor is unknown to the file, or differs from it in type or shape.
    """
    batch_axis = ["batch"] if config["max_batch_size"] > 0 else []
    for role, tensors in (("input", session.get_inputs()), ("output", session.get_outputs())):
        known = {tensor.name: tensor for tensor in tensors}
        for declared in config[role]:
            tensor = known.get(declared["name"])
            if tensor is None:
                raise ValueError(f"{path} has no {role} '{declared['name']}', only {sorted(known)}")
            shape = batch_axis + (declared.get("reshape") or {"shape": declared["dims"]})["shape"]
            if data_type(tensor) != declared["data_type"] or not compatible(shape, tensor.shape):
                raise ValueError(
                    f"{role} '{declared['name']}' is {declared['data_type']} {shape} in the configuration, but "
                    f"{tensor.type} {tensor.shape} in {path}"
                )


def compatible(declared: Sequence[int | str], actual: Sequence[int | str | None]) -> bool:
    """Whether two shapes can be the same: as long as each other, equal wherever both axes are fixed (`-1` is not).

    Triton knows no scalars: `[1]` is how a configuration writes one.
    """
    actual = actual or [1]
    return len(declared) == len(actual) and all(
        not isinstance(theirs, int) or ours in (theirs, -1) for ours, theirs in zip(declared, actual, strict=True)
    )


def described(tensor: Any, batching: bool) -> Config:
    """A tensor of the graph as an entry of a model configuration, without the batch axis when there is one."""
    shape = tensor.shape[1:] if batching else tensor.shape
    dims = [axis if isinstance(axis, int) else -1 for axis in shape]
    return {"name": tensor.name, "data_type": data_type(tensor), "dims": dims or [1]}


def data_type(tensor: Any) -> str:
    """Triton's name for the type of a tensor of the graph.

    Raises:
        ValueError: This backend can't pass such tensors.
    """
    if tensor.type not in TYPE_OF_ONNX:
        raise ValueError(f"'{tensor.name}' is a {tensor.type}, which only NVIDIA's own onnxruntime backend serves")
    return TYPE_OF_ONNX[tensor.type]


def read(request: Any) -> Call:
    """A request as arrays that are views of Triton's shared memory.

    Through DLPack, not `as_numpy` and `Tensor(name, array)`: Triton's bindings up to 24.10 were built for numpy 1, and
    with numpy 2 they see elements of no size: inputs full of their first element, outputs of no bytes, and no error.
    """
    feeds = {tensor.name(): np.from_dlpack(tensor) for tensor in request.inputs()}
    return Call(feeds, tuple(request.requested_output_names()))


def written(name: str, array: npt.NDArray[Any]) -> Any:
    """An array as an output tensor, through DLPack as in `read`; a scalar as `[1]`.

    Triton takes an empty array by DLPack for a non-contiguous one; that it counts no bytes is right here for once.
    It also marks the capsules that it took by a name of its own, where the protocol has another: numpy, which looks for
    that one, would print a traceback for each tensor.
    """
    if not array.size:
        return pb_utils.Tensor(name, array)
    capsule = np.atleast_1d(array).__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    rename_capsule(capsule, CONSUMED)
    return tensor


def groups(calls: Sequence[Call]) -> Iterable[list[int]]:
    """Indices of the calls that can run as one batch, in order of their first member."""
    members: dict[object, list[int]] = {}
    for index, call in enumerate(calls):
        members.setdefault(call.signature, []).append(index)
    return members.values()


def joined(calls: Sequence[Call]) -> Tensors:
    """The inputs of all calls along the batch axis; those of a single call as they are, without a copy."""
    if len(calls) == 1:
        return calls[0].feeds
    return {name: np.concatenate([call.feeds[name] for call in calls]) for name in calls[0].feeds}


def split(outputs: Tensors, rows: Sequence[int]) -> list[Tensors]:
    """Cut outputs along the batch axis, one share of views for each call.

    Raises:
        ValueError: An output does not have one row for each row of the inputs.
    """
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != sum(rows):
            raise ValueError(
                f"output '{name}' has shape {array.shape} for a batch of {sum(rows)}: the graph does not keep the "
                "batch axis first, serve it with max_batch_size 0"
            )
    ends = np.cumsum(rows)
    return [
        {name: array[end - count : end] for name, array in outputs.items()}
        for end, count in zip(ends, rows, strict=True)
    ]


def ort_errors() -> tuple[type[Exception], ...]:
    """Every way in which ONNX Runtime fails: its exceptions have no common base of their own."""
    import onnxruntime.capi.onnxruntime_pybind11_state as state

    own = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, RuntimeError, ValueError, TypeError)
