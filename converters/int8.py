"""INT8 as Q/DQ: QuantizeLinear and DequantizeLinear around chosen operators, with ranges from real frames.

ONNX Runtime's own quantiser writes the nodes. Weights are symmetric INT8 per channel. Only the inputs of an operator
are rounded: what follows it, activation function included, is computed of exact values. For ONNX Runtime on a CPU they
are UINT8 with a zero point; TensorRT knows none, so for it they are symmetric INT8, and biases, which it would not
take as INT32, stay FP32 (docs/adr/0094, 0095).
"""

import io
import logging
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import version_converter
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType, create_calibrator
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from converters.bias_correction import BiasCorrection
from converters.errors import ModelError
from converters.fuse import opset_of
from converters.precision_scope import WEIGHTED
from converters.progress import Report, Steps
from converters.spec import INPUT_NAME, Ranges, Target

_PER_CHANNEL_OPSET = 13
"""First opset whose QuantizeLinear has an axis."""
_CHUNK = 4
"""Frames whose activations are held in memory at once."""


_METHODS = {
    Ranges.MINMAX: CalibrationMethod.MinMax,
    Ranges.ENTROPY: CalibrationMethod.Entropy,
    Ranges.PERCENTILE: CalibrationMethod.Percentile,
}


class Int8:
    """A fused graph with calibrated ranges, to be quantised with this or that choice of nodes."""

    def __init__(
        self,
        model: onnx.ModelProto,
        frames: NDArray[np.uint8],
        ranges: Ranges,
        target: Target,
        correct: BiasCorrection,
        report: Report,
    ) -> None:
        """Calibrate.

        Args:
            model: Fused graph.
            frames: NV12 `[n, H * 3 / 2, W]`.
            ranges: How to choose them.
            target: The machine that will serve it.
            correct: Makes up for what the rounding of weights shifts.
            report: Told how far it is.

        Raises:
            ModelError: The graph can't be raised to the opset that quantisation per channel needs.
        """
        self._model = _raised(model)
        self._correct = correct
        self._on_cpu = target is Target.CPU
        told = Steps(report, len(frames))
        self._ranges = _calibrated(self._model, frames, ranges, told, symmetric=not self._on_cpu)

    def __call__(self, chosen: Collection[str]) -> onnx.ModelProto:
        """Return a copy in which the chosen nodes are quantised."""
        quantizer = QDQQuantizer(
            self._correct(self._model, chosen, int8_rounding),
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8 if self._on_cpu else QuantType.QInt8,
            tensors_range=self._ranges,
            nodes_to_quantize=list(chosen),
            nodes_to_exclude=[],
            op_types_to_quantize=sorted(WEIGHTED),
            extra_options={
                "ActivationSymmetric": not self._on_cpu,
                "WeightSymmetric": True,
                "QuantizeBias": self._on_cpu,
                "OpTypesToExcludeOutputQuantization": sorted(WEIGHTED),
            },
        )
        with _quiet():
            quantizer.quantize_model()
            quantizer.model.topological_sort()
        lowered: onnx.ModelProto = quantizer.model.model
        onnx.checker.check_model(lowered)
        return lowered


def int8_rounding(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what stands for weights in symmetric INT8 with a scale per output channel, as the quantiser rounds."""
    largest = np.abs(weights).reshape(len(weights), -1).max(axis=1).reshape(-1, *[1] * (weights.ndim - 1))
    scale = np.where(largest > 0, largest, 1) / 127
    rounded: NDArray[np.float32] = (np.rint(weights / scale) * scale).astype(np.float32)
    return rounded


class _Frames(CalibrationDataReader):  # type: ignore[misc]  # the library has no types
    """Feeds a few frames one by one."""

    def __init__(self, frames: NDArray[np.uint8]) -> None:
        self._frames: Iterator[NDArray[np.uint8]] = iter(frames)

    def get_next(  # pyright: ignore[reportIncompatibleMethodOverride]  # its own annotation forgets None
        self,
    ) -> dict[str, NDArray[np.uint8]] | None:
        """Return the next frame as the input of the graph, None after the last."""
        frame = next(self._frames, None)
        return None if frame is None else {INPUT_NAME: frame[None]}


def _calibrated(
    model: onnx.ModelProto, frames: NDArray[np.uint8], ranges: Ranges, told: Steps, *, symmetric: bool
) -> TensorsData:
    with TemporaryDirectory(prefix="ruth-convert-") as folder, _quiet():
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        calibrator = create_calibrator(
            path,
            sorted(WEIGHTED),
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=_METHODS[ranges],
            extra_options={"symmetric": symmetric},
        )
        for start in range(0, len(frames), _CHUNK):
            chunk = frames[start : start + _CHUNK]
            calibrator.collect_data(_Frames(chunk))
            told(len(chunk))
        return calibrator.compute_data()


def _raised(model: onnx.ModelProto) -> onnx.ModelProto:
    if opset_of(model) >= _PER_CHANNEL_OPSET:
        return model
    try:
        return version_converter.convert_version(model, _PER_CHANNEL_OPSET)
    except RuntimeError as error:
        raise ModelError(
            f"the graph can't be raised from opset {opset_of(model)} to {_PER_CHANNEL_OPSET}, which int8 needs "
            f"({error}); export the model with opset {_PER_CHANNEL_OPSET} or newer"
        ) from error


@contextmanager
def _quiet() -> Generator[None]:
    """Keep what the quantiser prints and logs out of the results."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
