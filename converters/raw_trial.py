"""A model outside the contract in a real Triton: asked the same random tensors as ONNX Runtime."""

from pathlib import Path
from typing import Any

from converters import triton_config
from converters.errors import ModelError
from converters.onnx_file import TensorInfo, parsed
from converters.parity import Difference
from converters.raw import RawModel, difference, run_raw, seeded_inputs
from converters.repository import CONFIG_FILE
from converters.spec import Serving
from converters.triton_server import trial_server

_TYPES = {"FLOAT": "TYPE_FP32", "FLOAT16": "TYPE_FP16", "DOUBLE": "TYPE_FP64"}


def raw_config(model: RawModel, serving: Serving, identity: triton_config.Identity) -> str:
    """Return the text of config.pbtxt; `dims` leave the batch axis out where there is one."""
    values = {**triton_config.runtime_parameters(serving), **triton_config.origin_parameters(identity)}
    fields: dict[str, Any] = {
        "name": identity.name,
        "backend": triton_config.BACKEND,
        "default_model_filename": triton_config.MODEL_FILE,
        "max_batch_size": serving.max_batch_size if model.batched else 0,
        "input": [_tensor(tensor, batched=model.batched) for tensor in model.inputs],
        "output": [_tensor(tensor, batched=model.batched) for tensor in model.outputs],
        "instance_group": [{"kind": triton_config.INSTANCE_KIND[serving.target], "count": serving.instances}],
        "version_policy": {"specific": {"versions": [identity.version]}},
        "parameters": {key: {"string_value": value} for key, value in values.items()},
    }
    if model.batched:
        fields["dynamic_batching"] = triton_config.batching(serving)
    return triton_config.text_of(fields)


def try_raw_in_triton(root: Path, name: str, version: int) -> Difference:
    """Compare Triton's answers with ONNX Runtime's, singly and in a full batch.

    Args:
        root: A folder that holds the model.
        name: The model.
        version: Its version.

    Raises:
        ModelError: Triton can't load or run the model, or answers otherwise.
        MissingError: There is no Triton.
    """
    config = triton_config.parse((root / name / CONFIG_FILE).read_text(encoding="utf-8"))
    file = parsed(name, (root / name / str(version) / triton_config.MODEL_FILE).read_bytes())
    largest = int(config.get("max_batch_size", 0))
    model = RawModel(data=file.data, inputs=file.inputs, outputs=file.outputs, batched=largest > 0)
    names = [tensor.name for tensor in model.outputs]
    total = Difference()
    with trial_server(root, (name,)) as server:
        for batch in {1, max(1, largest)}:
            inputs = seeded_inputs(model, batch)
            found = dict(zip(names, server.infer(name, inputs, names), strict=True))
            total = total.merged(difference(run_raw(model, inputs), found))
    if total.unmatched:
        raise ModelError(f"Triton's answers differ from ONNX Runtime's: {total}")
    return total


def _tensor(tensor: TensorInfo, *, batched: bool) -> dict[str, Any]:
    dims = [size if isinstance(size, int) else -1 for size in tensor.shape]
    kind = _TYPES.get(tensor.dtype, f"TYPE_{tensor.dtype}")
    return {"name": tensor.name, "data_type": kind, "dims": dims[1:] if batched else dims}
