"""Whether a network tells places in pixels or in fractions of its picture: no graph shows it, so it is run."""

from dataclasses import replace

import numpy as np

from converters.families.family import BuildOptions, original_of
from converters.families.headed import Plan, PlannedFamily, build_planned
from converters.families.heads.yolo import EndToEndHead, YoloHead
from converters.onnx_file import OnnxFile
from converters.spec import BuiltModel

_MAX_FRACTION = 2.0
"""A box told in fractions of the picture may reach beyond it; hundreds of rows in pixels never all lie so near 0."""


class SeenUnits(PlannedFamily):
    """A family whose exporters write pixels, and in some formats fractions (Ultralytics: TensorFlow, TFLite)."""

    def build(self, file: OnnxFile, options: BuildOptions) -> BuiltModel:
        """Fuse a recognised model, its places in pixels.

        Raises:
            ModelError: The labels don't fit the number of classes, or the network gives no numbers.
        """
        return build_planned(file, self.name, in_pixels(file, self.plan(file)), options)


def in_pixels(file: OnnxFile, plan: Plan) -> Plan:
    """Return the plan, with fractions scaled to pixels where the network's places on noise are such.

    Raises:
        ModelError: The network gives no numbers.
    """
    head = plan.head
    if not isinstance(head, EndToEndHead | YoloHead):
        return plan
    height, width = plan.picture.canvas
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    (outputs,) = original_of(file, plan.preprocess).outputs([noise])
    if not 0 < np.abs(head.places(outputs)).max() <= _MAX_FRACTION:
        return plan
    return replace(
        plan,
        head=replace(head, unit_px=(plan.picture.width, plan.picture.height)),
        why=f"{plan.why}; run on noise, its boxes lie between 0 and 1",
    )
