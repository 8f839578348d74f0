"""Lets torchvision's wheel be imported where CUDA's libraries, which its compiled operators need, are absent.

Its operators are declared by name alone; suppression, the one that is called here, is done by OpenCV.
"""

import re
import sys

import cv2
import torch

_library = torch.library.Library("torchvision", "DEF")
while "torchvision" not in sys.modules:
    try:
        import torchvision
    except RuntimeError as error:
        missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
        if missing is None:
            raise
        _library.define(f"{missing[1]}(Tensor boxes) -> Tensor")
        for name in [each for each in sys.modules if each.startswith("torchvision")]:
            del sys.modules[name]


def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Indices of `boxes` (n, 4; x1, y1, x2, y2) to keep, best first, as torchvision.ops.nms gives them."""
    sides = boxes.numpy().copy()
    sides[:, 2:] -= sides[:, :2]
    return torch.as_tensor(cv2.dnn.NMSBoxes(sides, scores.numpy(), 0.0, iou_threshold), dtype=torch.int64)


torchvision.ops.nms = nms
