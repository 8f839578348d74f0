"""Networks exported for pictures of any size, given the one size that they are to be published at."""

import math
from dataclasses import replace

import onnx

from converters.errors import ModelError
from converters.families.family import MAX_SIDE_PX
from converters.families.ultralytics import metadata_of
from converters.onnx_file import OnnxFile, TensorInfo, output_shapes
from converters.onnx_probe import MAX_SAMPLE_ELEMENTS
from converters.preprocess import Element

_RGB = 3
_KEEPING_COLOURS = frozenset({"Add", "Sub", "Mul", "Div", "Cast", "Identity", "Pad", "Clip", "Resize"}) | {
    "AveragePool",
    "BatchNormalization",
    "DequantizeLinear",
    "MaxPool",
    "QuantizeLinear",
}
"""Operators whose result has the colours of what they read."""


def at_size(file: OnnxFile, size: tuple[int, int] | None) -> OnnxFile:
    """Return the file with its picture's size and colours fixed where they are free, and the shapes that follow.

    A network of one size and any number of planes is left as it is, unless a size is asked for, or a convolution shows
    that the planes are colours: others hold the frames of a clip, or of sound.

    Args:
        file: The model; its bytes stay as they are.
        size: Height and width that the user asks for; None for what the file's own metadata says.

    Raises:
        ModelError: The network takes one other size only, the size is none of a camera's picture, or the network can't
            be run at it.
    """
    axes = _axes(file)
    if axes is None or not any(isinstance(file.inputs[0].shape[axis], str) for axis in axes):
        _check_only_size(file, size)
        return file
    picture = file.inputs[0]
    shape = list(picture.shape)
    colours, height, width = (shape[axis] for axis in axes)
    if isinstance(height, int) and isinstance(width, int):
        _check_only_size(file, size)
        if size is None and (picture.dtype not in set(Element) or _colours(file) is None):
            return file
        size = height, width
    size = size or metadata_of(file.model).imgsz
    if size is None:
        return file
    planes = (_colours(file) or _RGB) if isinstance(colours, str) else colours
    for axis, length in zip(axes, (planes, *size), strict=True):
        shape[axis] = length
    fixed = replace(picture, shape=tuple(shape))
    _check_size(file, fixed, size)
    outputs = _outputs_at(file, fixed)
    return replace(file, model=_with_shapes(file, fixed, outputs), inputs=(fixed,), outputs=outputs)


def _axes(file: OnnxFile) -> tuple[int, int, int] | None:
    """Return the axes of colour, height and width; None where the network doesn't take one picture."""
    if len(file.inputs) != 1 or len(file.inputs[0].shape) != 4:
        return None
    shape = file.inputs[0].shape
    return (3, 1, 2) if shape[3] in (1, 3) and shape[1] not in (1, 3) else (1, 2, 3)


def _colours(file: OnnxFile) -> int | None:
    """Return how many colours a network takes whose input doesn't say it: as many as a convolution reads of it.

    None where none reads 1 or 3: what comes before it makes more of them (YOLOX's focus), or it is no picture.
    """
    weights = {tensor.name: list(tensor.dims) for tensor in file.model.graph.initializer}
    planes = {file.inputs[0].name}
    for node in file.model.graph.node:
        if planes.isdisjoint(node.input):
            continue
        if node.op_type in _KEEPING_COLOURS:
            planes |= set(node.output)
        if node.op_type == "Conv":
            groups = next((entry.i for entry in node.attribute if entry.name == "group"), 1)
            read = groups * (weights.get(node.input[1]) or [0, 0])[1]
            return read if read in (1, _RGB) else None
    return None


def _check_only_size(file: OnnxFile, size: tuple[int, int] | None) -> None:
    if size is not None and not _has_size(file, size):
        raise ModelError(f"{file.inputs[0]} takes one size only; leave out --size, or export it for another")


def _has_size(file: OnnxFile, size: tuple[int, int]) -> bool:
    return len(file.inputs) == 1 and size in (file.inputs[0].shape[1:3], file.inputs[0].shape[2:4])


def _check_size(file: OnnxFile, picture: TensorInfo, size: tuple[int, int]) -> None:
    """Refuse what `onnx_probe` would have, had the file itself said it."""
    elements = math.prod(length for length in picture.shape[1:] if isinstance(length, int))
    if max(size) > MAX_SIDE_PX or elements > MAX_SAMPLE_ELEMENTS:
        raise ModelError(
            f"{file.name} would be published for pictures of {size[1]} x {size[0]}; at most {MAX_SIDE_PX} pixels a "
            f"side and {MAX_SAMPLE_ELEMENTS} elements a picture are read: choose another --size"
        )


def _outputs_at(file: OnnxFile, picture: TensorInfo) -> tuple[TensorInfo, ...]:
    """Have the network run once on a black picture, which tells shapes that inference can't; the batch axis stays."""
    if picture.dtype not in set(Element):
        raise ModelError(f"{picture} does not hold a picture's numbers: it takes none of {', '.join(Element)}")
    try:
        shapes = output_shapes(file, [size if isinstance(size, int) else 1 for size in picture.shape])
    except ModelError as error:
        raise ModelError(f"{file.name} can't be run on {picture} ({error}); choose another --size") from error
    return tuple(
        replace(tensor, shape=(*tensor.shape[:1], *found[1:]))
        for tensor, found in zip(file.outputs, shapes, strict=True)
    )


def _with_shapes(file: OnnxFile, picture: TensorInfo, outputs: tuple[TensorInfo, ...]) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(file.model)
    del model.graph.value_info[:]
    wanted = {tensor.name: tensor.shape for tensor in (picture, *outputs)}
    for value in (*model.graph.input, *model.graph.output):
        shape = value.type.tensor_type.shape
        if value.name in wanted and len(shape.dim) == len(wanted[value.name]):
            for dim, size in zip(shape.dim, wanted[value.name], strict=True):
                if isinstance(size, int):
                    dim.dim_value = size
    return onnx.shape_inference.infer_shapes(model, data_prop=True)
