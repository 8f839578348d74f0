"""The child process that meets an untrusted model first: bytes on stdin, verdict as exit status and one line.

It limits its own memory before it reads, refuses what is not a sound self-contained ONNX model, and builds an ONNX
Runtime session, because graph optimisation is one more parser.
"""

import resource
import sys
from collections.abc import Iterator

REFUSED = 3
"""Exit status of a refusal; stdout holds the reason. Any other non-zero status is a crash."""

_BASE_BYTES = 4 * 2**30
_BYTES_PER_BYTE = 8
"""Address space: for the libraries, and for each byte of the model (message, optimised copies)."""


def main() -> int:
    """Check the model on stdin; return the exit status."""
    data = sys.stdin.buffer.read()
    limit = _BASE_BYTES + _BYTES_PER_BYTE * len(data)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    reason = refusal(data)
    if reason is None:
        return 0
    print(reason)  # noqa: T201  # the pipe to the parent
    return REFUSED


def refusal(data: bytes) -> str | None:
    """Return why the bytes are no usable ONNX model, None when they are."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(data)
    except DecodeError:
        return "not an ONNX model, or cut short; download or export it again"
    if not model.ir_version or not model.graph.node:
        return "not an ONNX model: it holds no graph; give a file that torch.onnx.export or a like tool wrote"
    outside = next(_external_tensors(model), None)
    if outside is not None:
        return (
            f"keeps weights in other files (tensor {outside!r}); save it as one file: "
            "onnx.save(onnx.load('model.onnx'), 'whole.onnx')"
        )
    return _invalid(model, data)


def _invalid(model: object, data: bytes) -> str | None:
    """Return what the checker, strict shape inference or ONNX Runtime object to."""
    import onnx
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors  # pyright: ignore[reportAttributeAccessIssue]

    assert isinstance(model, onnx.ModelProto)
    try:
        onnx.checker.check_model(model)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        return f"not a valid ONNX model: {_first_line(error)}; export it again"
    except RuntimeError as error:
        return f"not a valid ONNX model: {_first_line(error)}; export it again"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except (
        ort_errors.Fail,
        ort_errors.InvalidArgument,
        ort_errors.InvalidGraph,
        ort_errors.InvalidProtobuf,
        ort_errors.NotImplemented,
        ort_errors.RuntimeException,
    ) as error:
        return f"ONNX Runtime {onnxruntime.__version__} can't load it: {_first_line(error)}"
    return None


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


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


if __name__ == "__main__":
    sys.exit(main())
