"""SimCC (RTMPose): bins along x and along y for each keypoint of one person.

In: RGB less ImageNet's mean, over its deviation, the picture in the middle of the canvas. The network was trained on
crops of one person: a frame with several gives a mixture, and a frame in which a person is small gives little.
"""

from converters.families.classifier import IMAGENET_DEVIATION, IMAGENET_MEAN
from converters.families.coco import COCO_17_KEYPOINTS
from converters.families.colours import network_takes
from converters.families.family import Misfit, PictureInput, picture_input
from converters.families.headed import Plan, PlannedFamily
from converters.families.heads.simcc import SimccHead
from converters.onnx_file import OnnxFile
from converters.preprocess import ChannelOrder
from converters.spec import Letterbox

SCORE_THRESHOLD = 0.3


class Simcc(PlannedFamily):
    """The family `simcc`."""

    name = "simcc"

    def plan(self, file: OnnxFile) -> Plan:
        """Return how to fuse a file of this family.

        Raises:
            Misfit: It is of another.
        """
        picture = picture_input(file)
        head = _head(file, picture)
        coco = head.keypoints == len(COCO_17_KEYPOINTS)
        return Plan(
            why=f"{head.x} and {head.y} hold {head.split:g} bins a pixel along x and along y for each of "
            f"{head.keypoints} keypoints",
            picture=picture,
            preprocess=network_takes(
                picture, ChannelOrder.RGB, mean=IMAGENET_MEAN, gain=tuple(1 / side for side in IMAGENET_DEVIATION)
            ),
            head=head,
            classes=1,
            labels=("person",),
            keypoints=COCO_17_KEYPOINTS if coco else tuple(f"keypoint_{index}" for index in range(head.keypoints)),
            letterbox=Letterbox.CENTER,
            pad_level=0,
            score_threshold=SCORE_THRESHOLD,
        )


def _head(file: OnnxFile, picture: PictureInput) -> SimccHead:
    """Read two outputs whose widths are the same multiple of the picture's sides.

    Raises:
        Misfit: They are something else.
    """
    wanted = "two outputs FLOAT [N, keypoints, bins] with the same number of bins for a pixel of width and of height"
    match [tensor.shape for tensor in file.outputs]:
        case [(_, int(keypoints), int(first)), (_, int(others), int(second))] if keypoints == others > 1:
            pass
        case _:
            raise Misfit(f"its outputs are {', '.join(map(str, file.outputs[:4]))}, not {wanted}")
    names = [tensor.name for tensor in file.outputs]
    for (x, across), (y, down) in (
        zip(names, (first, second), strict=True),
        zip(names[::-1], (second, first), strict=True),
    ):
        if across * picture.height == down * picture.width and across >= picture.width:
            return SimccHead(x=x, y=y, keypoints=keypoints, split=across / picture.width)
    raise Misfit(f"its outputs have {first} and {second} bins on {picture.width} x {picture.height}, not {wanted}")
