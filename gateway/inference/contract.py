"""From Triton's model configuration to the contract that scheduling needs, and from output tensors to detections."""

from collections.abc import Mapping
from functools import lru_cache

import msgspec
import numpy as np
import numpy.typing as npt

from gateway.domain.detections import Detections, Float32Array
from gateway.domain.letterbox import Letterbox, LetterboxMode
from gateway.domain.model import ModelContract, Task
from gateway.errors import ModelContractError
from gateway.inference.control import ModelConfig
from gateway.inference.transport import MAX_ANSWER_BYTES

CONTRACT_VERSION = "1"
BOX_COLUMNS = 6  # x1, y1, x2, y2, score, class
BRIGHTEST = 255
MAX_FRAME_BYTES = 64 << 20
"""No model's canvas is larger (45 megapixels): room is made for many of them."""

_UINT8, _FP32 = "TYPE_UINT8", "TYPE_FP32"


def read_contract(config: ModelConfig, version: str) -> ModelContract:
    """Read the `ruth.*` parameters and tensor shapes of a served model.

    Raises:
        ModelContractError: The model can be called, not scheduled; the message says what is missing.
    """
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    if parameters.get("ruth.contract") != CONTRACT_VERSION:
        raise ModelContractError(
            f"model {config.name} declares no ruth.contract = {CONTRACT_VERSION}; publish it with ruth-convert"
        )
    try:
        task = Task(parameters["ruth.task"])
        rows, width = _input_dims(config)
        keypoints = _names(parameters, "ruth.keypoints", "[]")
        return ModelContract(
            name=config.name,
            version=version,
            task=task,
            input_wh=(width, rows * 2 // 3),
            letterbox=LetterboxMode(parameters["ruth.letterbox"]),
            pad_luma=_luma(parameters.get("ruth.pad", "16")),
            labels=_names(parameters, "ruth.labels"),
            keypoints=keypoints,
            max_batch_size=config.max_batch_size,
            max_detections=0 if task is Task.CLASSIFY else _output_rows(config, len(keypoints)),
            sha256=parameters.get("ruth.model_sha256", ""),
        )
    except KeyError as error:
        raise ModelContractError(f"model {config.name} lacks {error}; publish it again with ruth-convert") from error
    except ValueError as error:
        raise ModelContractError(f"model {config.name} breaks the contract: {error}") from error


def _names(parameters: Mapping[str, str], key: str, absent: str | None = None) -> tuple[str, ...]:
    """A parameter that is a JSON list of names; `absent` stands for one that isn't there."""
    text = parameters[key] if absent is None else parameters.get(key, absent)
    try:
        return msgspec.json.decode(text, type=tuple[str, ...])
    except msgspec.DecodeError as error:
        raise ValueError(f"{key} is no JSON list of names: {error}") from error


def _luma(text: str) -> int:
    luma = int(text)
    if not 0 <= luma <= BRIGHTEST:
        raise ValueError(f"ruth.pad is {luma}, not a luma from 0 to {BRIGHTEST}")
    return luma


def _input_dims(config: ModelConfig) -> tuple[int, int]:
    for tensor in config.input:
        if tensor.name == "frames":
            rows, width = tensor.dims
            whole = rows > 0 and width > 0 and not rows % 3 and not width % 2
            if config.max_batch_size < 1 or tensor.data_type != _UINT8 or not whole:
                raise ValueError(f"input frames is {list(tensor.dims)}, not a batch of UINT8 [H*3/2, W], H and W even")
            if rows * width > MAX_FRAME_BYTES:
                raise ValueError(f"input frames is {list(tensor.dims)}, more than {MAX_FRAME_BYTES >> 20} MiB")
            return rows, width
    raise KeyError("the input frames")


def _output_rows(config: ModelConfig, keypoints: int) -> int:
    columns = BOX_COLUMNS + 3 * keypoints
    for tensor in config.output:
        if tensor.name == "detections":
            dims = tensor.dims
            if tensor.data_type != _FP32 or len(dims) != 2 or dims[0] < 1 or dims[1] != columns:
                raise ValueError(f"output detections is {list(dims)}, not FP32 [max_detections, {columns}]")
            if 4 * dims[0] * columns > MAX_ANSWER_BYTES:
                raise ValueError(f"output detections is {list(dims)}, more than {MAX_ANSWER_BYTES >> 20} MiB")
            return int(dims[0])
    raise KeyError("the output detections")


def to_detections(
    rows: npt.NDArray[np.float32], count: int, contract: ModelContract, letterbox: Letterbox, source_wh: tuple[int, int]
) -> Detections:
    """Turn the `(max_detections, 6 + 3K)` rows of one frame into `Detections` in source pixels.

    Raises:
        ModelContractError: The rows contradict the model's declaration.
    """
    if not 0 <= count <= len(rows):
        raise ModelContractError(f"model {contract.name} answered that {count} of {len(rows)} rows count")
    found = rows[:count]
    if not np.isfinite(found[:, :BOX_COLUMNS]).all():
        raise ModelContractError(
            f"model {contract.name} answered with a box or score that is no finite number; "
            "its precision may be too low for it: publish it in another"
        )
    keypoints = np.zeros((count, 0, 3), np.float32)
    if contract.keypoints:
        keypoints = found[:, BOX_COLUMNS:].reshape(count, len(contract.keypoints), 3).copy()
        keypoints[~np.isfinite(keypoints).all(axis=2)] = 0  # as one that isn't seen
        keypoints[..., :2] = letterbox.to_source(keypoints[..., :2], source_wh)
    try:
        return Detections(
            xyxy=_boxes_to_source(found[:, :4], letterbox, source_wh),
            score=found[:, 4].copy(),
            class_id=found[:, 5].astype(np.int32),
            labels=contract.labels,
            keypoints=keypoints,
        )
    except ValueError as error:
        raise ModelContractError(f"model {contract.name} contradicts its declaration: {error}") from error


def _boxes_to_source(xyxy: Float32Array, letterbox: Letterbox, source_wh: tuple[int, int]) -> Float32Array:
    """As `Letterbox.to_source`, for `(n, 4)` corners: a third of the time, which every frame costs."""
    offset, scale, limit = _corners(letterbox, source_wh)
    corners: Float32Array = np.subtract(xyxy, offset)
    corners /= scale
    np.maximum(corners, 0, out=corners)
    return np.minimum(corners, limit, out=corners)


@lru_cache(maxsize=256)
def _corners(letterbox: Letterbox, source_wh: tuple[int, int]) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Offset, scale and limit of x1, y1, x2, y2."""
    offset, scale, limit = (
        np.asarray(pair * 2, np.float32) for pair in (letterbox.offset_xy, letterbox.scale_xy, source_wh)
    )
    return offset, scale, limit
