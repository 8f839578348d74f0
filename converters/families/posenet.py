"""PoseNet (TensorFlow.js, Coral and their conversions): heat maps and offsets, read as the pose of one person.

In: RGB levels -1 to 1, the picture stretched over the canvas, whose sides are often one more than a multiple of the
stride. Out: heat maps of K keypoints, offsets of 2K, and displacements that only a reader of several people needs.

OpenPose has maps of those numbers too: heat maps of K keypoints and of the background, and twice as many affinities of
its limbs, which are no offsets. What tells PoseNet are its displacements, its 17 keypoints, or its odd sides.
"""

from converters.families.coco import COCO_17_KEYPOINTS
from converters.families.colours import network_takes
from converters.families.family import Misfit, PictureInput, picture_input
from converters.families.graph_facts import operators
from converters.families.headed import Plan, PlannedFamily
from converters.families.heads.heatmap import HeatmapHead
from converters.onnx_file import OnnxFile, TensorInfo
from converters.preprocess import ChannelOrder, Layout

STRIDES = (8, 16, 32)
SCORE_THRESHOLD = 0.3
MIDDLE_LEVEL = 127.5
_DISPLACEMENTS = 2
"""Maps that lead from keypoint to keypoint, forward and back."""


class PoseNet(PlannedFamily):
    """The family `posenet`."""

    name = "posenet"

    def plan(self, file: OnnxFile) -> Plan:
        """Return how to fuse a file of this family.

        Raises:
            Misfit: It is of another.
        """
        picture = picture_input(file)
        head = _head(file, picture)
        coco = head.keypoints == len(COCO_17_KEYPOINTS)
        names = COCO_17_KEYPOINTS if coco else tuple(f"keypoint_{index}" for index in range(head.keypoints))
        return Plan(
            why=f"{head.heatmap} holds heat maps of {head.keypoints} keypoints in {head.columns} x {head.rows} cells "
            f"of stride {head.stride}, {head.offsets} twice as many offsets",
            picture=picture,
            preprocess=network_takes(picture, ChannelOrder.RGB, mean=(MIDDLE_LEVEL,), gain=(1 / MIDDLE_LEVEL,)),
            head=head,
            classes=1,
            labels=("person",),
            keypoints=names,
            score_threshold=SCORE_THRESHOLD,
        )


def _head(file: OnnxFile, picture: PictureInput) -> HeatmapHead:
    """Find the pair of maps of which one has twice the other's channels.

    Raises:
        Misfit: There is no such pair, or several.
    """
    last = picture.layout is Layout.NHWC
    maps = {tensor.name: _map(tensor, last) for tensor in file.outputs if len(tensor.shape) == 4}
    found = [
        (heat, offsets)
        for heat, (rows, columns, channels) in maps.items()
        for offsets, other in maps.items()
        if channels > 1 and other == (rows, columns, 2 * channels)
    ]
    if len(found) != 1:
        raise Misfit(
            f"{len(found) or 'none'} of its {len(file.outputs)} outputs is a heat map with an output of offsets, twice "
            "its channels"
        )
    (heat, offsets) = found[0]
    rows, columns, keypoints = maps[heat]
    stride = _stride(picture, rows, columns)
    displacements = [name for name, other in maps.items() if other == (rows, columns, 2 * (keypoints - 1))]
    odd = picture.height % stride == 1 == picture.width % stride
    if len(displacements) != _DISPLACEMENTS and keypoints != len(COCO_17_KEYPOINTS) and not odd:
        raise Misfit(
            f"{heat} has {keypoints} channels and {offsets} {2 * keypoints}, which may be heat maps and the affinities "
            f"of OpenPose's limbs; if they are keypoints and their offsets in pixels, describe it (--family custom, "
            f'kind = "heatmap")'
        )
    return HeatmapHead(
        heatmap=heat,
        offsets=offsets,
        channels_last=last,
        logits=operators(file.model.graph, heat) != ["Sigmoid"],
        rows=rows,
        columns=columns,
        keypoints=keypoints,
        stride=stride,
    )


def _map(tensor: TensorInfo, channels_last: bool) -> tuple[int, int, int]:
    """Return rows, columns and channels; zeros where they are not fixed."""
    match tensor.shape:
        case (_, int(first), int(second), int(third)):
            return (first, second, third) if channels_last else (second, third, first)
        case _:
            return 0, 0, 0


def _stride(picture: PictureInput, rows: int, columns: int) -> int:
    """Return the stride whose cells cover the picture, with a cell at each end or a cell in each stride.

    Raises:
        Misfit: None of the usual ones does.
    """
    for stride in STRIDES:
        if (-(-picture.height // stride), -(-picture.width // stride)) == (rows, columns):
            return stride
    raise Misfit(f"its {columns} x {rows} cells are of no stride {STRIDES} on {picture.width} x {picture.height}")
