"""Networks of a few convolutions with random weights, each with the head of a family: structure without the size."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEIGHT, WIDTH = 64, 96
FLOAT, UINT8, INT8 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8


class Sketch:
    """Collects nodes over an input `images`; pooling brings it to a grid, convolutions give it channels."""

    def __init__(self, seed: int = 1, size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
        self.random = np.random.default_rng(seed)
        self.height, self.width = size
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.source = "images"

    def node(self, op_type: str, *inputs: str, out: str | None = None, **attributes: object) -> str:
        """Append a node and return its first output's name."""
        name = out or f"{op_type}_{len(self.nodes)}"
        spare = [f"{name}_index"] if op_type == "TopK" else []
        self.nodes.append(helper.make_node(op_type, list(inputs), [name, *spare], **attributes))
        return name

    def weight(self, value: np.ndarray | Sequence[int]) -> str:
        """Add a constant and return its name."""
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def noise(self, *shape: int, spread: float = 1.0) -> str:
        """Add random weights and return their name."""
        return self.weight(self.random.normal(0, spread, shape).astype(np.float32))

    def grid(self, stride: int, channels: int, spread: float = 4.0) -> str:
        """Return `[b, channels, rows, columns]` that follows the picture."""
        mean = {"kernel_shape": [stride] * 2, "strides": [stride] * 2, "ceil_mode": 1, "count_include_pad": 0}
        pooled = self.node("AveragePool", self.source, **mean)
        centred = self.node("Sub", pooled, self.weight(np.array(0.5, dtype=np.float32)))
        return self.node(
            "Conv", centred, self.noise(channels, 3, 1, 1, spread=spread), self.noise(channels, spread=0.5)
        )

    def patches(self, side: int, channels: int) -> str:
        """Return `[b, channels, rows, columns]` of a picture that is cut up, as vision transformers begin."""
        kernel = self.noise(channels, 3, side, side, spread=0.1)
        return self.node("Conv", self.source, kernel, kernel_shape=[side] * 2, strides=[side] * 2)

    def rows(self, grid: str, columns: int) -> str:
        """Return `[b, n, columns]` of a grid of any multiple of `columns` channels, cell by cell."""
        last = self.node("Transpose", grid, perm=[0, 2, 3, 1])
        return self.node("Reshape", last, self.weight([0, -1, columns]))

    def model(self, outputs: dict[str, list[object]], *, element: int = FLOAT, last: bool = False) -> onnx.ModelProto:
        """Return the model; its input takes levels from 0 to 1, or UINT8 from 0 to 255, as NCHW or NHWC."""
        shape = ["n", self.height, self.width, 3] if last else ["n", 3, self.height, self.width]
        graph = helper.make_graph(
            self.nodes,
            "tiny",
            [helper.make_tensor_value_info("images", element, shape)],
            [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        model.ir_version = 8
        return model


def tiny_queries(*, channels: int = 7, chosen: bool, patches: bool = False, large: bool = False) -> onnx.ModelProto:
    """Return DETR's structure: attention over cells, logits and boxes; with `chosen`, queries chosen by TopK.

    There are 24 queries; `large` makes them 384, one for each cell.
    """
    sketch = Sketch(seed=3, size=(256, 384)) if large else Sketch(seed=3)
    queries = sketch.height * sketch.width // 256
    tokens = sketch.rows(sketch.patches(16, 8) if patches else sketch.grid(16, 8), 8)
    scores = sketch.node("MatMul", tokens, sketch.node("Transpose", tokens, perm=[0, 2, 1]))
    mixed = sketch.node("MatMul", sketch.node("Softmax", scores, axis=2), tokens)
    mixed = sketch.node("Add", sketch.node("Mul", mixed, sketch.weight(np.array(0.2, np.float32))), tokens)
    if chosen:
        best = sketch.node("ReduceMax", mixed, axes=[2], keepdims=0)
        index = sketch.node("TopK", best, sketch.weight([queries]), axis=1) + "_index"
        index = sketch.node("Reshape", index, sketch.weight([0, -1, 1]))
        mixed = sketch.node("GatherElements", mixed, sketch.node("Expand", index, sketch.weight([1, 1, 8])), axis=1)
    sketch.node("MatMul", mixed, sketch.noise(8, channels), out="logits")
    sketch.node("Sigmoid", sketch.node("MatMul", mixed, sketch.noise(8, 4, spread=0.3)), out="pred_boxes")
    return sketch.model({"logits": ["n", queries, channels], "pred_boxes": ["n", queries, 4]})


def tiny_query_table(*, classes: int = 7) -> onnx.ModelProto:
    """Return RT-DETR's structure as Ultralytics exports it: boxes and scores in one table, both through a Sigmoid."""
    model = tiny_queries(chosen=True, channels=classes)
    queries = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    model.graph.node.append(helper.make_node("Sigmoid", ["logits"], ["scores"]))
    model.graph.node.append(helper.make_node("Concat", ["pred_boxes", "scores"], ["output0"], axis=2))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("output0", FLOAT, ["n", queries, 4 + classes]))
    return model


def tiny_nanodet(
    *, classes: int = 3, strides: Sequence[int] = (8, 16, 32, 64), joined: bool = True, bins: int = 8
) -> onnx.ModelProto:
    """Return NanoDet's structure: one table for all strides, or two for each."""
    sketch, width = Sketch(seed=5), classes + 4 * bins
    tables, outputs = [], {}
    for stride in strides:
        both = sketch.rows(sketch.grid(stride, width), width)
        cells = -(-sketch.height // stride) * -(-sketch.width // stride)
        parts = [
            sketch.node("Slice", both, *map(sketch.weight, ([start], [end], [2])))
            for start, end in ((0, classes), (classes, width))
        ]
        if joined:
            tables.append(sketch.node("Concat", sketch.node("Sigmoid", parts[0]), parts[1], axis=2))
            continue
        sketch.node("Sigmoid", parts[0], out=f"cls_{stride}")
        sketch.node("Identity", parts[1], out=f"dis_{stride}")
        outputs |= {f"cls_{stride}": ["n", cells, classes], f"dis_{stride}": ["n", cells, 4 * bins]}
    if joined:
        sketch.node("Concat", *tables, axis=1, out="output")
        rows = sum(-(-sketch.height // stride) * -(-sketch.width // stride) for stride in strides)
        outputs = {"output": ["n", rows, width]}
    return sketch.model(outputs)


def tiny_classifier(end: str | None = None, *, classes: int = 3) -> onnx.ModelProto:
    """Return one number for each class: the means of a grid's channels, through an operator or as they are."""
    sketch = Sketch(seed=13)
    means = sketch.node("Flatten", sketch.node("GlobalAveragePool", sketch.grid(16, classes)))
    sketch.node(end or "Identity", means, out="output0")
    return sketch.model({"output0": ["n", classes]})


def tiny_posenet(
    *, keypoints: int = 17, beside: bool = True, size: tuple[int, int] = (HEIGHT, WIDTH), names: str = "heatmap offset"
) -> onnx.ModelProto:
    """Return heat maps and twice as many offsets, NCHW; `beside` adds the displacements of a reader of several people.

    Without them and with 19 keypoints it is OpenPose's structure: heat maps, and affinities of its limbs.
    """
    sketch = Sketch(seed=15, size=size)
    heat, offset = names.split()
    channels = {heat: keypoints, offset: 2 * keypoints}
    if beside:
        channels |= {"displacement_fwd": 2 * keypoints - 2, "displacement_bwd": 2 * keypoints - 2}
    for name, count in channels.items():
        sketch.node("Sigmoid" if name == heat else "Identity", sketch.grid(16, count, spread=2.0), out=name)
    cells = [-(-side // 16) for side in size]
    return sketch.model({name: ["n", count, *cells] for name, count in channels.items()})


def tiny_fastestdet(*, classes: int = 3) -> onnx.ModelProto:
    """Return FastestDet's structure: objectness through a Sigmoid, a raw box, classes through a Softmax."""
    sketch = Sketch(seed=17)
    objectness = sketch.node("Sigmoid", sketch.grid(16, 1))
    scores = sketch.node("Softmax", sketch.grid(16, classes), axis=1)
    sketch.node("Concat", objectness, sketch.grid(16, 4, spread=1.0), scores, axis=1, out="output")
    return sketch.model({"output": ["n", 5 + classes, sketch.height // 16, sketch.width // 16]})


def tiny_ssd(*, rows: int = 20, unsuppressed: bool = False) -> onnx.ModelProto:
    """Return the outputs of TensorFlow's detection models over a picture of bytes, NHWC.

    With `unsuppressed` those that TensorFlow 2 adds: what was there before the suppression, and where it came from.
    """
    sketch = Sketch(seed=7)
    levels = sketch.node("Cast", "images", to=FLOAT)
    scaled = sketch.node("Mul", levels, sketch.weight(np.array(1 / 255, np.float32)))
    sketch.source = sketch.node("Transpose", scaled, perm=[0, 3, 1, 2])
    classes = sketch.node("Sigmoid", sketch.rows(sketch.grid(16, 5), 5))
    places = sketch.node("Sigmoid", sketch.rows(sketch.grid(16, 4), 4))
    best = sketch.node("ReduceMax", classes, axes=[2], keepdims=0)
    index = sketch.node("TopK", best, sketch.weight([rows]), axis=1, out="detection_scores") + "_index"
    wide = sketch.node("Reshape", index, sketch.weight([0, -1, 1]))
    wide = sketch.node("Expand", wide, sketch.weight([1, 1, 4]))
    sketch.node("GatherElements", places, wide, axis=1, out="detection_boxes")
    numbers = sketch.node("Cast", sketch.node("ArgMax", classes, axis=2, keepdims=0), to=FLOAT)
    numbers = sketch.node("Add", numbers, sketch.weight(np.array(1, np.float32)))
    sketch.node("GatherElements", numbers, index, axis=1, out="detection_classes")
    sure = sketch.node(
        "Cast", sketch.node("Greater", "detection_scores", sketch.weight(np.array(0.4, np.float32))), to=FLOAT
    )
    sketch.node("ReduceSum", sure, sketch.weight([1]), keepdims=0, out="num_detections")
    outputs: dict[str, list[object]] = {"detection_boxes": ["n", rows, 4], "detection_scores": ["n", rows]}
    outputs |= {"detection_classes": ["n", rows], "num_detections": ["n"]}
    if unsuppressed:
        cells = (sketch.height // 16) * (sketch.width // 16)
        each = sketch.node("Expand", sketch.node("Reshape", index, sketch.weight([0, -1, 1])), sketch.weight([1, 1, 5]))
        sketch.node("GatherElements", classes, each, axis=1, out="detection_multiclass_scores")
        sketch.node("Cast", index, to=FLOAT, out="detection_anchor_indices")
        sketch.node("Identity", places, out="raw_detection_boxes")
        sketch.node("Identity", classes, out="raw_detection_scores")
        outputs |= {"detection_multiclass_scores": ["n", rows, 5], "detection_anchor_indices": ["n", rows]}
        outputs |= {"raw_detection_boxes": ["n", cells, 4], "raw_detection_scores": ["n", cells, 5]}
    return sketch.model(outputs, element=UINT8, last=True)


def tiny_mmdeploy() -> onnx.ModelProto:
    """Return what `tiny_ssd` finds as MMDeploy tells it: `dets` (corners in pixels, score) and `labels` from 0."""
    model = tiny_ssd()
    sides = [dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim]
    constants = {
        "corners": np.array([1, 0, 3, 2]),
        "pixels": np.array([WIDTH, HEIGHT] * 2, np.float32),
        "sure": np.array(0.4, np.float32),
        "one": np.array(1, np.float32),
        "column": np.array([2]),
    }
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    model.graph.node.extend(
        helper.make_node(op_type, inputs, [output], **attributes)
        for op_type, inputs, output, attributes in (
            ("Gather", ["detection_boxes", "corners"], "x_first", {"axis": 2}),
            ("Mul", ["x_first", "pixels"], "in_pixels", {}),
            ("Greater", ["detection_scores", "sure"], "is_sure", {}),
            ("Cast", ["is_sure"], "kept", {"to": FLOAT}),
            ("Mul", ["detection_scores", "kept"], "scores", {}),
            ("Unsqueeze", ["scores", "column"], "score_column", {}),
            ("Concat", ["in_pixels", "score_column"], "dets", {"axis": 2}),
            ("Sub", ["detection_classes", "one"], "from_zero", {}),
            ("Cast", ["from_zero"], "labels", {"to": TensorProto.INT64}),
        )
    )
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("dets", FLOAT, ["n", sides[1], 5]))
    model.graph.output.append(helper.make_tensor_value_info("labels", TensorProto.INT64, ["n", sides[1]]))
    return model


def tiny_simcc(*, keypoints: int = 17, split: int = 2) -> onnx.ModelProto:
    """Return SimCC's structure: bins along x and bins along y for each keypoint."""
    sketch = Sketch(seed=9)
    channels = sketch.node("Reshape", sketch.grid(16, keypoints), sketch.weight([0, keypoints, -1]))
    for name, side in (("simcc_x", sketch.width), ("simcc_y", sketch.height)):
        sketch.node("MatMul", channels, sketch.noise(24, side * split, spread=0.05), out=name)
    return sketch.model(
        {"simcc_x": ["n", keypoints, sketch.width * split], "simcc_y": ["n", keypoints, sketch.height * split]}
    )


def tiny_retinaface() -> onnx.ModelProto:
    """Return RetinaFace's structure: boxes, two classes and five landmarks for each of two priors a cell."""
    sketch, outputs = Sketch(seed=11), {}
    rows = sum(2 * (sketch.height // stride) * (sketch.width // stride) for stride in (8, 16, 32))
    for name, columns in (("bbox", 4), ("confidence", 2), ("landmark", 10)):
        levels = [sketch.rows(sketch.grid(stride, 2 * columns, spread=1.5 / 128), columns) for stride in (8, 16, 32)]
        table = sketch.node("Concat", *levels, axis=1)
        sketch.node(
            *(("Softmax",) if columns == 2 else ("Identity",)), table, out=name, **({"axis": 2} if columns == 2 else {})
        )
        outputs[name] = ["n", rows, columns]
    return sketch.model(outputs)


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model of one output with that output in half precision."""
    name = model.graph.output[0].name
    for node in model.graph.node:
        for index, made in enumerate(node.output):
            if made == name:
                node.output[index] = f"{name}_wide"
    model.graph.node.append(helper.make_node("Cast", [f"{name}_wide"], [name], to=TensorProto.FLOAT16))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    return model


def of_integers(model: onnx.ModelProto, element: int) -> onnx.ModelProto:
    """Return a model that takes UINT8 or INT8 and divides it by 255 itself, where it took FLOAT before."""
    model.graph.input[0].type.tensor_type.elem_type = element
    return beginning_with(model, ("Cast", None, {"to": FLOAT}), ("Mul", 1 / 255, {}))


def overflowing(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model that computes with NaN: infinity times nothing."""
    return beginning_with(model, ("Add", 1, {}), ("Mul", 3e38, {}), ("Mul", 3e38, {}), ("Mul", 0, {}))


def stopping_at_six(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return a model with ReLU6 before all else, which an opset below 11 tells by attributes."""
    if opset < 11:
        model.opset_import[0].version = opset
        return beginning_with(model, ("Clip", None, {"min": 0.0, "max": 6.0}))
    model = beginning_with(model, ("Clip", 0, {}))
    model.graph.initializer.append(numpy_helper.from_array(np.array(6, np.float32), "six"))
    model.graph.node[0].input.append("six")
    return model


def beginning_with(model: onnx.ModelProto, *steps: tuple[str, object, dict[str, object]]) -> onnx.ModelProto:
    """Return a model with nodes before all others: operator, its constant (None for none), attributes."""
    (picture,) = model.graph.input
    for node in model.graph.node:
        for index, source in enumerate(node.input):
            if source == picture.name:
                node.input[index] = "values"
    source = picture.name
    for index, (op_type, constant, attributes) in enumerate(steps):
        inputs = [source]
        if constant is not None:
            inputs.append(f"constant_of_step_{index}")
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(constant, np.float32), inputs[1]))
        source = "values" if index == len(steps) - 1 else f"step_{index}"
        model.graph.node.insert(index, helper.make_node(op_type, inputs, [source], **attributes))
    return model


def rounded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with QuantizeLinear and DequantizeLinear behind what computes, as quantisation writes it."""
    steps = {"Sigmoid": (1 / 255, np.uint8), "Softmax": (1 / 255, np.uint8), "Conv": (0.05, np.int8)}
    steps |= {"MatMul": (0.05, np.int8), "Mul": (2.0, np.uint8)}
    for name, (step, kind) in steps.items():
        model.graph.initializer.append(numpy_helper.from_array(np.array(step, np.float32), f"{name}_step"))
        model.graph.initializer.append(numpy_helper.from_array(np.array(0, kind), f"{name}_zero"))
    for node in [node for node in model.graph.node if node.op_type in steps]:
        (made,) = node.output
        node.output[0], scale = f"{made}_exact", [f"{node.op_type}_step", f"{node.op_type}_zero"]
        at = list(model.graph.node).index(node) + 1
        pair = [("QuantizeLinear", f"{made}_exact", f"{made}_rounded"), ("DequantizeLinear", f"{made}_rounded", made)]
        for offset, (op_type, source, output) in enumerate(pair):
            model.graph.node.insert(at + offset, helper.make_node(op_type, [source, *scale], [output]))
    return model


def renamed(model: onnx.ModelProto, names: dict[str, str]) -> onnx.ModelProto:
    """Return a model whose outputs have other names."""
    for node in model.graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
        node.input[:] = [names.get(name, name) for name in node.input]
    for output in model.graph.output:
        output.name = names.get(output.name, output.name)
    return model
