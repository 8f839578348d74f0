"""`people_hog`: OpenCV's people detector as a model that Triton serves, for a machine that has no other.

Upright people who are seen whole and at least `MIN_PERSON_PX` tall on the canvas; nothing is downloaded.
"""

import hashlib

import cv2
import numpy as np
from onnx import TensorProto, helper

from converters.fuse import assemble
from converters.hog_graph import append_blocks, append_svm
from converters.hog_parity import DescriptorDifference, descriptor_difference
from converters.hog_pyramid import PERSON_HEIGHT, Level, ladder, person_boxes
from converters.hog_reference import OpencvPeopleDetector, people_detector
from converters.nms import Candidates, append_nms
from converters.onnx_graph import GraphBuilder
from converters.pictures import render_pictures
from converters.spec import INPUT_NAME, BuiltModel, Letterbox, ModelSpec, Source, Task, Tolerance

NAME = "people_hog"
OPSET = 17

MIN_PERSON_PX = PERSON_HEIGHT
"""Height of the smallest person that is found, in pixels of the canvas."""

RATIO = 1.2
"""Of neighbouring scales; see docs/adr/0031 for what finer ladders cost and give."""

MARGIN_PX = 16

HALF_UP = 0.501
"""Added before levels are cut to whole ones. The ladder's ratios make exact halves common, and a plain 0.5 would leave
them to the rounding of FP32, which differs between runtimes."""

SLOPE = 2.0
"""Steepness of the score: 0.5 at the SVM's own boundary, 0.88 at its margin (distance 1). Not a probability."""

TOLERANCE = Tolerance(score=5e-3)
"""OpenCV scales in fixed point: now and then a pixel of a level comes out one level apart, which moves a window's
distance by up to a few thousandths."""

SPEC = ModelSpec(
    task=Task.DETECT,
    height=360,
    width=640,
    letterbox=Letterbox.CENTER,
    pad_luma=114,
    labels=("person",),
    score_threshold=0.8,
    nms_iou=0.3,
)


def build(spec: ModelSpec = SPEC) -> BuiltModel:
    """Return the detector as a graph of the model contract, with OpenCV's own as its reference.

    Args:
        spec: Another canvas or other thresholds; task and labels stay those of `SPEC`.
    """
    levels = ladder(spec.height, spec.width, ratio=RATIO, margin=MARGIN_PX)
    graph = GraphBuilder(prefix="hog", opset=OPSET)
    append_nms(graph, _candidates(graph, spec, levels), spec)
    model = assemble(graph.nodes, graph.initializers, spec, opset_imports=[helper.make_opsetid("", OPSET)])
    return BuiltModel(
        model=model,
        spec=spec,
        source=_source(levels),
        reference=OpencvPeopleDetector(spec, levels, SLOPE),
        tolerance=TOLERANCE,
    )


def _candidates(graph: GraphBuilder, spec: ModelSpec, levels: list[Level]) -> Candidates:
    """Append everything from the frames to one score for each window of each level."""
    grey = _grey(graph, spec)
    batch = graph.slice(graph.op("Shape", grey), 0, 1, axis=0)
    detector = people_detector()
    pictures = [grey, *(_resized(graph, grey, batch, level) for level in levels[1:])]
    distances = [append_svm(graph, append_blocks(graph, picture, MARGIN_PX), detector) for picture in pictures]
    flat = graph.op("Concat", *(graph.reshape(name, 0, -1) for name in distances), axis=1)
    boxes = person_boxes(levels, spec.height, spec.width)
    scores = graph.op("Sigmoid", graph.op("Mul", flat, graph.scalar(SLOPE)))
    shape = graph.op("Concat", batch, graph.constant([len(boxes), 4]), axis=0)
    return Candidates(
        boxes=graph.op("Expand", graph.constant(boxes[None]), shape),
        scores=scores,
        classes=graph.op("Cast", graph.op("Mul", scores, graph.scalar(0)), to=TensorProto.INT64),
        count=len(boxes),
    )


def _grey(graph: GraphBuilder, spec: ModelSpec) -> str:
    """Expand the luma of the frames to whole levels 0 to 255 (ITU-R BT.601-7): FLOAT `[b, 1, height, width]`."""
    frames = graph.op("Cast", INPUT_NAME, to=TensorProto.FLOAT)  # TensorRT lets bytes be cast and nothing else
    luma = graph.slice(frames, 0, spec.height, axis=1)
    luma = graph.reshape(luma, 0, 1, spec.height, spec.width)
    gain = 255 / 219
    levels = graph.op("Add", graph.op("Mul", luma, graph.scalar(gain)), graph.scalar(0.5 - 16 * gain))
    return graph.op("Clip", graph.op("Floor", levels), graph.scalar(0), graph.scalar(255))


def _resized(graph: GraphBuilder, grey: str, batch: str, level: Level) -> str:
    """Scale as OpenCV's pyramid does: linear, without anti-aliasing, back to whole levels, halves upwards."""
    sizes = graph.op("Concat", batch, graph.constant([1, level.height, level.width]), axis=0)
    attributes = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    smooth = graph.op("Resize", grey, "", "", sizes, **attributes)
    return graph.op("Floor", graph.op("Add", smooth, graph.scalar(HALF_UP)))


def _source(levels: list[Level]) -> Source:
    return Source(
        name=f"opencv HOGDescriptor_getDefaultPeopleDetector {cv2.__version__}",
        sha256=hashlib.sha256(np.ascontiguousarray(people_detector(), dtype="<f4").tobytes()).hexdigest(),
        licence="Apache-2.0",
        family=NAME,
        why="the people detector built into OpenCV",
        details=(
            ("preprocess", "luma expanded to 0..255, square-root gamma"),
            ("scales", f"{len(levels)} levels, ratio {RATIO}, edges repeated by {MARGIN_PX} px"),
            ("score", f"1 / (1 + exp(-{SLOPE:g} * d)), d the distance from the SVM's plane"),
            ("box", "the person of 40 x 96 px in the middle of each window of 64 x 128 px"),
            ("suppression", "greedy by overlap, where OpenCV groups rectangles and asks for two or more neighbours"),
            ("descriptor_difference", str(_descriptor_difference())),
            ("min_person_px", str(MIN_PERSON_PX)),
        ),
    )


def _descriptor_difference() -> DescriptorDifference:
    picture = render_pictures().pictures[0][:256, :256]
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
    return descriptor_difference(grey, MARGIN_PX, OPSET)
