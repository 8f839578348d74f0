"""Which lowered operators do the harm: each one's output beside that of the FP32 graph, on the same frames."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from converters.half import HALF_SUFFIX
from converters.reference import session
from converters.spec import INPUT_NAME

_DEQUANTIZED = "_DequantizeLinear_Output"
"""Ends the name that ONNX Runtime's quantiser gives to a tensor after its rounding."""
_QUIET_CHANNEL = 1e-6
"""A channel counts as if its variance were at least this share of the liveliest one's."""

_Array = NDArray[np.floating[Any]]


def worst_first(
    model: onnx.ModelProto, lowered: onnx.ModelProto, chosen: Collection[str], frames: NDArray[np.uint8]
) -> list[str]:
    """Return the chosen nodes, those that add most noise to what they were handed first.

    Noise is error over variance, channel by channel: a tensor has one range, and it is the quiet channels that drown
    in it. A node answers for the rounding of its output too.

    Args:
        model: FP32.
        lowered: The same with the chosen nodes in another precision.
        chosen: Names of nodes.
        frames: NV12 `[n, H * 3 / 2, W]`.
    """
    nodes = [node for node in model.graph.node if node.name in chosen]
    made = {name for node in lowered.graph.node for name in node.output}
    produced = {name for node in model.graph.node for name in node.output}
    handed = {name for node in nodes for name in node.input if name in produced}
    given = {name for node in nodes for name in node.output}
    pairs = {name: _form(name, made, (HALF_SUFFIX,)) for name in handed}
    rounded = {name: _form(name, made, (_DEQUANTIZED, HALF_SUFFIX)) for name in given}
    noise = _noise(model, lowered, sorted({*pairs.items(), *rounded.items()}), frames)
    added = {
        node.name: max((noise[name, rounded[name]] for name in node.output), default=0.0)
        - max((noise[name, pairs[name]] for name in node.input if name in pairs), default=0.0)
        for node in nodes
    }
    return sorted(added, key=lambda name: -added[name])


def _form(name: str, made: Collection[str], endings: Sequence[str]) -> str:
    """Return the name that a tensor has in the lowered graph."""
    return next((name + ending for ending in endings if name + ending in made), name)


def _noise(
    model: onnx.ModelProto,
    lowered: onnx.ModelProto,
    pairs: Sequence[tuple[str, str]],
    frames: NDArray[np.uint8],
) -> dict[tuple[str, str], float]:
    """Return the mean over channels of error by variance, 0 to 1, for pairs of a tensor and its lowered form."""
    asked = [sorted({pair[side] for pair in pairs}) for side in (0, 1)]
    runs = [
        session(exposing(graph, own).SerializeToString()) for graph, own in zip((model, lowered), asked, strict=True)
    ]
    error: dict[tuple[str, str], _Array] = {}
    spread: dict[tuple[str, str], _Array] = {}
    for frame in frames:
        exact, rough = (
            dict(zip(own, run.run(own, {INPUT_NAME: frame[None]}), strict=True))
            for run, own in zip(runs, asked, strict=True)
        )
        for pair in pairs:
            wanted, found = _channels(np.asarray(exact[pair[0]])), _channels(np.asarray(rough[pair[1]]))
            error[pair] = error.get(pair, 0) + np.square(wanted - found).mean(axis=1)
            spread[pair] = spread.get(pair, 0) + wanted.var(axis=1)
    return {pair: _ratio(error[pair], spread[pair]) for pair in pairs}


def _channels(tensor: _Array) -> _Array:
    """Return `[channels, values]` of one picture's `[1, C, ...]`."""
    return tensor.reshape(tensor.shape[1] if tensor.ndim > 2 else 1, -1).astype(np.float32)


def _ratio(error: _Array, spread: _Array) -> float:
    ratio = error / np.maximum(spread, max(float(spread.max()) * _QUIET_CHANNEL, 1e-12))
    return float(np.minimum(np.nan_to_num(ratio, nan=1.0), 1.0).mean())


def exposing(model: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
    """Return a copy in which more tensors, FLOAT or the FLOAT16 ones of `half`, are outputs."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    known = {value.name for value in exposed.graph.output}
    for name in names:
        if name not in known:
            dtype = TensorProto.FLOAT16 if name.endswith(HALF_SUFFIX) else TensorProto.FLOAT
            exposed.graph.output.append(helper.make_tensor_value_info(name, dtype, None))
    return exposed
