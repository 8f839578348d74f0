"""Lets torchvision's wheel be imported where CUDA's libraries, which its compiled operators need, are absent.

Its operators are declared by name alone; suppression, the one that is called here, is done by OpenCV.
"""

import re
import sys

import cv2
import torch

_library = torch.library.Library("torchvision", "DEF")
_library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def _nms(boxes: torch.Tensor, scores: torch.Tensor, iou: float) -> torch.Tensor:
    corners = boxes.numpy()
    sides = corners.copy()
    sides[:, 2:] -= corners[:, :2]
    return torch.as_tensor(cv2.dnn.NMSBoxes(sides, scores.numpy(), 0.0, iou), dtype=torch.int64)


_library.impl("nms", _nms, "CPU")
while "torchvision" not in sys.modules:
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
        if missing is None:
            raise
        _library.define(f"{missing[1]}(Tensor boxes) -> Tensor")
        for name in [each for each in sys.modules if each.startswith("torchvision")]:
            del sys.modules[name]
