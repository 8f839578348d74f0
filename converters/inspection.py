"""What `inspect` says of a file beyond its name and shapes: what it costs to run, and which images can't load it."""

from dataclasses import dataclass

import onnx

from converters.onnx_cost import Cost, cost_of
from converters.targets import too_old_for

_UNITS = ("B", "KiB", "MiB", "GiB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Of one graph.

    Attributes:
        cost: Of one picture.
        images_too_old: Tags of the Triton images whose ONNX Runtime is older than the file's IR or operator set.
    """

    cost: Cost
    images_too_old: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return it for a person."""
        cost = self.cost
        some = f" (at least: {cost.unknown} operators of unknown shape)" if cost.unknown else ""
        return [
            f"{'cost':<11} {cost.macs / 1e9:.3f} G multiply-accumulates{some}",
            f"{'weights':<11} {cost.parameters / 1e6:.2f} M, {_size(cost.parameter_bytes)}",
            f"{'activations':<11} {_size(cost.activation_bytes)} at most at once{some}",
            f"{'loads':<11} {self._loads()}",
        ]

    def _loads(self) -> str:
        if not self.images_too_old:
            return "in every image that `ruth-convert targets` lists"
        return f"not as it is in {len(self.images_too_old)} images: {', '.join(self.images_too_old)}"


def inspect(model: onnx.ModelProto, opset: int) -> Inspection:
    """Return what a graph with inferred shapes costs and which images can't load it as it is.

    What `onnx` publishes of it is raised or lowered to what its target reads; this is about the file itself.
    """
    return Inspection(
        cost=cost_of(model), images_too_old=tuple(image.tag for image in too_old_for(model.ir_version, opset))
    )


def _size(count: float) -> str:
    for unit in _UNITS[:-1]:
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} {_UNITS[-1]}"
