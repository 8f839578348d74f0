"""The child process that meets an untrusted model first: bytes on stdin, verdict as exit status and one line.

It limits its own memory and CPU time before it parses. It refuses what is not a sound self-contained ONNX model, builds
an ONNX Runtime session, because graph optimisation is one more parser, and runs it once, because a graph of a few bytes
can ask for any amount of memory and time. It can do so by the size of its input too: with a shape for arguments a model
that passed is run once more, on a picture of that shape, and stdout holds the shapes of its outputs.
"""

import json
import math
import resource
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

REFUSED = 3
"""Exit status of a refusal; stdout holds the reason. Any other non-zero status is a crash."""
BESIDE = 4
"""Exit status of a model whose weights, and nothing else, lie in other files; it is checked again with them in it."""

_BASE_BYTES = 768 * 2**20
_BYTES_PER_BYTE = 8
"""Private memory: for the libraries and activations, and for each byte of the model (message, optimised copies)."""

_BASE_CPU_S = 4
_BYTES_PER_CPU_S = 4 * 2**20

MAX_SAMPLE_ELEMENTS = 2**24
"""Of an input without its first axis: a colour picture of 2364 x 2364."""
FREE_AXIS = 64
"""Length that an axis without a fixed one gets in a trial, the first apart."""


def main() -> int:
    """Check the model on stdin, or run it on a picture of the shape in the arguments; return the exit status."""
    data = sys.stdin.buffer.read()
    limit = _BASE_BYTES + _BYTES_PER_BYTE * len(data)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    seconds = cpu_limit_s(len(data))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.argv[1:]:
        return _tell_shapes(data, [int(size) for size in sys.argv[1:]])
    try:
        reason = refusal(data)
    except WeightsBeside:
        return BESIDE
    if reason is None:
        return 0
    print(reason)  # noqa: T201  # the pipe to the parent
    return REFUSED


class WeightsBeside(Exception):  # noqa: N818  # a question to the parent
    """Weights lie in other files, and all of them are initializers of the graph."""


def cpu_limit_s(size: int) -> int:
    """Return the CPU seconds that the check of a model of `size` bytes may take."""
    return _BASE_CPU_S + size // _BYTES_PER_CPU_S


def refusal(data: bytes) -> str | None:
    """Return why the bytes are no usable ONNX model, None when they are.

    Raises:
        WeightsBeside: Weights of it lie in other files.
    """
    import onnx
    from google.protobuf.message import DecodeError

    from converters.onnx_graph import MAX_IR_VERSION

    try:
        model = onnx.load_model_from_string(data)
    except DecodeError:
        return "not an ONNX model, or cut short; download or export it again"
    if not model.ir_version or not model.graph.node:
        return "not an ONNX model: it holds no graph; give a file that torch.onnx.export or a like tool wrote"
    if model.ir_version > onnx.IR_VERSION:
        return (
            f"has IR version {model.ir_version}, newer than any that onnx {onnx.__version__} knows (up to "
            f"{onnx.IR_VERSION}); export it with an older one"
        )
    if model.ir_version > MAX_IR_VERSION:
        model.ir_version = MAX_IR_VERSION
        data = model.SerializeToString()
    outside = list(_external_tensors(model))
    if outside and outside == list(_external_weights(model)):
        raise WeightsBeside
    if outside:
        return (
            f"keeps weights in other files (tensor {outside[0]!r}) that aren't plain weights of its graph; save it as "
            "one file: onnx.save(onnx.load('model.onnx'), 'whole.onnx')"
        )
    try:
        return _oversized(model) or _invalid(model, data) or _not_finite(model) or _not_in_line(model)
    except MemoryError:
        return f"needs more than {_BASE_BYTES >> 20} MB and {_BYTES_PER_BYTE} times its size; {_TOO_MUCH}"


_TOO_MUCH = "it is hostile or not for this purpose; export it for a smaller picture"


def _oversized(model: object) -> str | None:
    """Return what of the declared inputs no camera's picture needs."""
    import onnx

    assert isinstance(model, onnx.ModelProto)
    constants = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        if value.name not in constants:
            sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            if math.prod(max(size, 1) for size in sizes[1:]) > MAX_SAMPLE_ELEMENTS or max(sizes[:1], default=1) > 1024:
                return f"takes an input of {sizes[:8]}; at most {MAX_SAMPLE_ELEMENTS} elements a picture are read"
    return None


def _not_finite(model: object) -> str | None:
    """Return which weight holds NaN or infinity; elsewhere than in a product they can be meant (masks, bounds)."""
    import numpy as np
    import onnx

    assert isinstance(model, onnx.ModelProto)
    products = ("Conv", "ConvTranspose", "Gemm", "MatMul")
    weights = {name for node in model.graph.node if node.op_type in products for name in node.input}
    for tensor in model.graph.initializer:
        floating = tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
        if floating and tensor.name in weights and not np.isfinite(onnx.numpy_helper.to_array(tensor)).all():
            return f"weight {tensor.name!r} holds NaN or infinity; the training went wrong, or the file is damaged"
    return None


def _invalid(model: object, data: bytes) -> str | None:
    """Return what the checker, strict shape inference or ONNX Runtime objects to."""
    import onnx

    assert isinstance(model, onnx.ModelProto)
    try:
        onnx.checker.check_model(model)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        return f"not a valid ONNX model: {_first_line(error)}; export it again"
    except RuntimeError as error:
        return f"not a valid ONNX model: {_first_line(error)}; export it again"
    return _not_runnable(data)


def _not_in_line(model: object) -> str | None:
    """Return why the model's own functions can't be put in line."""
    import onnx

    from converters.local_functions import in_line

    assert isinstance(model, onnx.ModelProto)
    try:
        in_line(model)
    except RuntimeError as error:
        return f"{_first_line(error)}; export it with operators of ONNX alone (PyTorch: torch.onnx.export, dynamo=True)"
    return None


def _tell_shapes(data: bytes, shape: list[int]) -> int:
    """Run the model once on zeros of a shape, print the shapes of its outputs as JSON, and return the exit status."""
    import numpy as np
    from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors  # pyright: ignore[reportAttributeAccessIssue]

    try:
        session = _session(data)
        (picture,) = session.get_inputs()
        outputs = session.run(None, {picture.name: np.zeros(shape, dtype=_DTYPES[picture.type])})
        shapes = [list(np.asarray(value).shape) for value in outputs]
    except MemoryError:
        print(f"runs out of memory; {_TOO_MUCH}")  # noqa: T201
        return REFUSED
    except (
        ort_errors.Fail,
        ort_errors.InvalidArgument,
        ort_errors.NotImplemented,
        ort_errors.RuntimeException,
        ValueError,
    ) as error:
        print(_first_line(error))  # noqa: T201
        return REFUSED
    print(json.dumps(shapes))  # noqa: T201
    return 0


def _session(data: bytes) -> "onnxruntime.InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _not_runnable(data: bytes) -> str | None:
    """Return why ONNX Runtime can't load the model, or needs too much to run it once."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors  # pyright: ignore[reportAttributeAccessIssue]

    try:
        session = _session(data)
    except (
        ort_errors.Fail,
        ort_errors.InvalidArgument,
        ort_errors.InvalidGraph,
        ort_errors.InvalidProtobuf,
        ort_errors.NotImplemented,
        ort_errors.RuntimeException,
    ) as error:
        return f"ONNX Runtime {onnxruntime.__version__} can't load it: {_first_line(error)}"
    try:
        _run_once(session)
    except (ort_errors.Fail, ort_errors.RuntimeException) as error:  # which of them depends on the operator
        if "allocate" in str(error) or "bad_alloc" in str(error):
            return f"runs out of memory on one picture ({_first_line(error)}); {_TOO_MUCH}"
    except (ort_errors.InvalidArgument, ort_errors.NotImplemented, ValueError):
        return None  # zeros need not suit it; `verify` asks it about pictures
    return None


def _run_once(session: "onnxruntime.InferenceSession") -> None:
    """Run a batch of one of zeros, in which free axes have some length; an input of no numbers can't be made up."""
    import numpy as np

    feed: dict[str, NDArray[Any]] = {}
    for tensor in session.get_inputs():
        dtype = _DTYPES.get(tensor.type)
        free = (1, *[FREE_AXIS] * len(tensor.shape))
        shape = [size if isinstance(size, int) else free[index] for index, size in enumerate(tensor.shape)]
        if dtype is None or not all(size > 0 for size in shape):
            return
        feed[tensor.name] = np.zeros(shape, dtype=dtype)
    session.run(None, feed)


_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
}


def _external_tensors(message: object) -> Iterator[str]:
    """Yield the names of tensors, anywhere in the model, whose data lies in another file."""
    import onnx
    from google.protobuf.message import Message

    if isinstance(message, onnx.TensorProto):
        if message.data_location == onnx.TensorProto.EXTERNAL or message.external_data:
            yield message.name
        return
    assert isinstance(message, Message)
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if field.is_repeated else (value,):
                yield from _external_tensors(part)


def _external_weights(model: object) -> Iterator[str]:
    """Yield those of them that are weights of the graph and say so."""
    import onnx

    assert isinstance(model, onnx.ModelProto)
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield tensor.name


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


if __name__ == "__main__":
    sys.exit(main())
