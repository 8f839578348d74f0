"""Files that claim to be models and are broken or hostile: cut short, flipped, mutated, bombs, other formats, links."""

import gzip
import io
import itertools
import json
import os
import pickle
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.tiny_yolox import tiny_yolox

CUTS, FLIPS, MUTATIONS = 40, 70, 100
HUGE = 2**31
Model = onnx.ModelProto


def write_corpus(folder: Path) -> list[Path]:
    """Write every file, its name saying what it is, and return the paths."""
    folder.mkdir(parents=True)
    data = tiny_yolox().SerializeToString()
    files = dict(_named())
    files |= {f"cut_{index:02}": data[: 1 + index * (len(data) - 2) // (CUTS - 1)] for index in range(CUTS)}
    files |= {f"flip_{seed:02}": _flipped(data, seed) for seed in range(FLIPS)}
    files |= {f"mutation_{seed:03}": _mutated(seed) for seed in range(MUTATIONS)}
    for name, content in files.items():
        (folder / f"{name}.onnx").write_bytes(content)
    return [folder / f"{name}.onnx" for name in files] + list(_special(folder))


def _named() -> Iterator[tuple[str, bytes]]:
    yield from _other_formats()
    for kind, build in (("external", _EXTERNAL), ("bomb", _BOMBS), ("graph", _GRAPHS)):
        for name, make in build.items():
            made = make()
            yield f"{kind}_{name}", made if isinstance(made, bytes) else made.SerializeToString()


def _other_formats() -> Iterator[tuple[str, bytes]]:
    archive, tar = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({"model": 1}))
    with tarfile.open(fileobj=tar, mode="w") as file:
        file.addfile(tarfile.TarInfo("../../etc/cron.d/x"))
    header = json.dumps({"names": {0: "person"}, "stride": 32}).encode()
    noise = random.Random(5)
    formats = {
        "empty": b"",
        "text": b"this is no model\n" * 100,
        "html": b"<!DOCTYPE html><html><body>404</body></html>",
        "json": json.dumps({"model": [1, 2, 3]}).encode(),
        "git_lfs_pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3660092\n",
        "pickle": pickle.dumps({"weights": [0.0] * 100}),
        "torch_zip": archive.getvalue(),
        "tar": tar.getvalue(),
        "gzip_bomb": gzip.compress(bytes(8 << 20)),
        "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "elf": b"\x7fELF\x02\x01\x01" + bytes(200),
        "tflite": b"\x1c\x00\x00\x00TFL3" + bytes(200),
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(200),
        "safetensors": (8).to_bytes(8, "little") + b"{}      ",
        "tensorrt_plan": b"ftrt" + bytes(400),
        "ultralytics_engine": len(header).to_bytes(4, "little") + header + b"ftrt" + bytes(400),
        "zeros": bytes(4096),
        "ones": b"\xff" * 4096,
        "endless_varint": b"\x08" + b"\xff" * 4096,
        "length_beyond_end": b"\x3a\xff\xff\xff\xff\x07abc",
        "groups_nested": b"\x0b" * 5000,
        **{f"noise_{size}": noise.randbytes(size) for size in (1, 7, 100, 10_000, 1_000_000)},
    }
    return ((f"format_{name}", content) for name, content in formats.items())


def _flipped(data: bytes, seed: int) -> bytes:
    generator, changed = random.Random(seed), bytearray(data)
    for _ in range(generator.choice((1, 1, 2, 8, 64))):
        changed[generator.randrange(min(len(changed), 4000 if seed % 2 else len(changed)))] = generator.randrange(256)
    return bytes(changed)


def _mutated(seed: int) -> bytes:
    """Change a sound model in one to three places, each still a well-formed message."""
    generator, model = random.Random(seed), tiny_yolox()
    for _ in range(generator.randrange(1, 4)):
        generator.choice(_CHANGES)(model.graph, generator)
    return model.SerializeToString()


def _drop_node(graph: onnx.GraphProto, generator: random.Random) -> None:
    del graph.node[generator.randrange(len(graph.node))]


def _rename_operator(graph: onnx.GraphProto, generator: random.Random) -> None:
    names = ("Relu", "If", "Loop", "NonMaxSuppression", "Resize", "QLinearConv", "Nothing", "", "LSTM", "TopK")
    generator.choice(graph.node).op_type = generator.choice(names)


def _change_shape(graph: onnx.GraphProto, generator: random.Random) -> None:
    tensor = generator.choice(graph.initializer)
    sizes = (-1, 0, 1, 7, HUGE, 2**62)
    del tensor.dims[:]
    tensor.dims.extend(generator.choice(sizes) for _ in range(generator.randrange(6)))


def _change_type(graph: onnx.GraphProto, generator: random.Random) -> None:
    generator.choice(graph.initializer).data_type = generator.choice((0, 2, 7, 8, 10, 16, 23, 99, -1))


def _shorten_data(graph: onnx.GraphProto, generator: random.Random) -> None:
    tensor = generator.choice(graph.initializer)
    tensor.raw_data = tensor.raw_data[: generator.randrange(len(tensor.raw_data) + 1)]


def _swap_inputs(graph: onnx.GraphProto, generator: random.Random) -> None:
    one, other = generator.choice(graph.node), generator.choice(graph.node)
    one.input[0], other.input[-1] = other.input[-1], one.input[0]


def _rename_output(graph: onnx.GraphProto, generator: random.Random) -> None:
    generator.choice(graph.node).output[0] = generator.choice(("", "output", "images", "x" * 70_000))


def _change_attribute(graph: onnx.GraphProto, generator: random.Random) -> None:
    attribute = generator.choice([attribute for node in graph.node for attribute in node.attribute])
    if attribute.ints:
        attribute.ints[0] = generator.choice((-1, 0, HUGE, -(2**63)))
    attribute.type = generator.choice((attribute.type, 1, 3, 5, 7))


def _change_input(graph: onnx.GraphProto, generator: random.Random) -> None:
    dims = graph.input[0].type.tensor_type.shape.dim
    dims[generator.randrange(len(dims))].dim_value = generator.choice((-5, 0, 1, 31, 64 * 1024, HUGE, 2**62))


def _copy_node(graph: onnx.GraphProto, generator: random.Random) -> None:
    graph.node.add().CopyFrom(generator.choice(graph.node))


_CHANGES: tuple[Callable[[onnx.GraphProto, random.Random], None], ...] = (
    _drop_node,
    _rename_operator,
    _change_shape,
    _change_type,
    _shorten_data,
    _swap_inputs,
    _rename_output,
    _change_attribute,
    _change_input,
    _copy_node,
)


def _model(nodes: list[onnx.NodeProto], weights: list[TensorProto] | None = None, size: int = 4) -> Model:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, size])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "columns"])
    graph = helper.make_graph(nodes, "g", [x], [y], weights or [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def _int64(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, dtype=np.int64), name)


def _outside(location: str, *, inside: str = "initializer") -> Model:
    """A model whose weight lies elsewhere, in a place where a reader may forget to look."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value=location)
    weight.external_data.add(key="length", value="16")
    if inside == "initializer":
        return _model([helper.make_node("Add", ["x", "w"], ["y"])], [weight])
    constant = helper.make_node("Constant", [], ["w"], value=weight)
    if inside == "constant":
        return _model([constant, helper.make_node("Add", ["x", "w"], ["y"])])
    body = helper.make_graph([constant, helper.make_node("Identity", ["w"], ["z"])], "b", [], [_value("z")])
    condition = numpy_helper.from_array(np.array(True), "c")
    model = _model([helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)], [condition])
    if inside == "function":
        model = _model([helper.make_node("Inner", ["x"], ["y"], domain="own")])
        model.opset_import.append(helper.make_opsetid("own", 1))
        add = helper.make_node("Add", ["a", "w"], ["b"])
        model.functions.append(
            helper.make_function("own", "Inner", ["a"], ["b"], [constant, add], [helper.make_opsetid("", 17)])
        )
    if inside == "training":
        model = _model([helper.make_node("Identity", ["x"], ["y"])])
        model.training_info.add().algorithm.initializer.append(weight)
    return model


def _value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", "columns"])


_PLACES = ("constant", "subgraph", "function", "training")
_EXTERNAL: dict[str, Callable[[], Model]] = {
    "absolute": lambda: _outside("/etc/passwd"),
    "parent": lambda: _outside("../../../../etc/passwd"),
    "hidden_parent": lambda: _outside("weights/../../secret"),
    "beside": lambda: _outside("weights.bin"),
    "symlink": lambda: _outside("link.bin"),
    "hard_link": lambda: _outside("hard.bin"),
    "device": lambda: _outside("/dev/zero"),
    "url": lambda: _outside("file:///etc/passwd"),
    "in_memory_marker": lambda: _outside("*/_ORT_MEM_ADDR_/*"),
    "nothing": lambda: _outside(""),
    "null_byte": lambda: _outside("weights.bin\0.txt"),
    **{f"in_{place}": (lambda place=place: _outside("/etc/passwd", inside=place)) for place in _PLACES},
}


def _summed() -> list[onnx.NodeProto]:
    return [helper.make_node("ReduceSum", ["f"], ["r"], keepdims=0), helper.make_node("Add", ["x", "r"], ["y"])]


def _filled(*shape: int) -> Model:
    fill = helper.make_node("ConstantOfShape", ["s"], ["f"])
    return _model([fill, *_summed()], [_int64("s", *shape)])


def _doubling(times: int) -> Model:
    names = ["w", *(f"d{index}" for index in range(times))]
    nodes = [helper.make_node("Concat", [one, one], [other], axis=0) for one, other in itertools.pairwise(names)]
    nodes.append(helper.make_node("ReduceSum", [names[-1]], ["r"], keepdims=0))
    nodes.append(helper.make_node("Add", ["x", "r"], ["y"]))
    return _model(nodes, [numpy_helper.from_array(np.ones(1024, dtype=np.float32), "w")])


def _nested(depth: int) -> Model:
    body = helper.make_graph([helper.make_node("Identity", ["x"], ["z"])], "b", [], [_value("z")])
    for _ in range(depth):
        node = helper.make_node("If", ["c"], ["z"], then_branch=body, else_branch=body if depth < 9 else None)
        body = helper.make_graph([node], "b", [], [_value("z")])
    node = helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)
    return _model([node], [numpy_helper.from_array(np.array(True), "c")])


def _nested_bytes(depth: int) -> bytes:
    """A graph in an attribute of a node of a graph …, deeper than a library would write."""
    inner = b""
    for _ in range(depth):
        for tag in (b"\x32", b"\x2a", b"\x0a"):  # attribute.g, node.attribute, graph.node
            inner = tag + _varint(len(inner)) + inner
    return b"\x08\x08\x3a" + _varint(len(inner)) + inner


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _chain(length: int) -> Model:
    names = ["x", *(f"t{index}" for index in range(length - 1)), "y"]
    pairs = itertools.pairwise(names)
    return _model([helper.make_node("Relu", [one], [other]) for one, other in pairs])


def _constant_op(op_type: str, *inputs: TensorProto, **attributes: object) -> Model:
    node = helper.make_node(op_type, [tensor.name for tensor in inputs], ["f"], **attributes)
    return _model([node, *_summed()], list(inputs))


def _one() -> TensorProto:
    return numpy_helper.from_array(np.ones((1, 1), dtype=np.float32), "o")


def _giant_canvas(height: int, width: int) -> Model:
    model = tiny_yolox()
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_value, dims[3].dim_value = height, width
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = sum(
        (height // stride) * (width // stride) for stride in (8, 16, 32)
    )
    return model


def _claimed(*dims: int) -> Model:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=b"\0" * 16)
    return _model([helper.make_node("Add", ["x", "w"], ["y"])], [weight])


def _sparse(index: int, *dims: int) -> Model:
    model = _model([helper.make_node("Add", ["x", "w"], ["y"])])
    values = numpy_helper.from_array(np.ones(1, dtype=np.float32), "w")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, _int64("i", index), list(dims)))
    return model


def _recursive_function() -> Model:
    model = _model([helper.make_node("Again", ["x"], ["y"], domain="own")])
    model.opset_import.append(helper.make_opsetid("own", 1))
    imports = [helper.make_opsetid("own", 1), helper.make_opsetid("", 17)]
    again = helper.make_node("Again", ["a"], ["b"], domain="own")
    model.functions.append(helper.make_function("own", "Again", ["a"], ["b"], [again], imports))
    return model


def _many_functions(levels: int) -> Model:
    """Each function calls the one below ten times: inlined, ten to the power of the levels."""
    model = _model([helper.make_node(f"F{levels}", ["x"], ["y"], domain="own")])
    imports = [helper.make_opsetid("own", 1), helper.make_opsetid("", 17)]
    model.opset_import.append(helper.make_opsetid("own", 1))
    base = helper.make_function("own", "F0", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], imports)
    model.functions.append(base)
    for level in range(1, levels + 1):
        names = ["a", *(f"t{index}" for index in range(9)), "b"]
        calls = [
            helper.make_node(f"F{level - 1}", [one], [other], domain="own") for one, other in itertools.pairwise(names)
        ]
        model.functions.append(helper.make_function("own", f"F{level}", ["a"], ["b"], calls, imports))
    return model


_BOMBS: dict[str, Callable[[], Model | bytes]] = {
    "filled_4_gb": lambda: _filled(1 << 15, 1 << 15),
    "filled_overflow": lambda: _filled(HUGE, HUGE, HUGE),
    "filled_negative": lambda: _filled(-4, 4),
    "doubling_20": lambda: _doubling(20),
    "doubling_60": lambda: _doubling(60),
    "expand": lambda: _constant_op("Expand", _one(), _int64("s", 1 << 16, 1 << 16)),
    "tile": lambda: _constant_op("Tile", _one(), _int64("s", 1 << 20, 1 << 12)),
    "range": lambda: _constant_op("Range", *(_scalar(n, v) for n, v in (("a", 0.0), ("b", 1e12), ("c", 1.0)))),
    "one_hot": lambda: _constant_op(
        "OneHot", _int64("i", 1, 2), _int64("d", 1 << 40), numpy_helper.from_array(np.zeros(2, np.float32), "v")
    ),
    "pad": lambda: _constant_op("Pad", _one(), _int64("p", 1 << 30, 1 << 30, 0, 0)),
    "nested_5": lambda: _nested(5),
    "nested_bytes_30": lambda: _nested_bytes(30),
    "nested_bytes_3000": lambda: _nested_bytes(3000),
    "nested_bytes_100000": lambda: _nested_bytes(30_000),
    "chain_20000": lambda: _chain(20_000),
    "long_name": lambda: _renamed(tiny_yolox(), "n" * 20_000_000),
    "long_doc": lambda: _documented("d" * 30_000_000),
    "rank_10000": lambda: _claimed(*[1] * 10_000),
    "claims_exabytes": lambda: _claimed(HUGE, HUGE),
    "claims_overflow": lambda: _claimed(2**62, 4),
    "claims_negative": lambda: _claimed(-4),
    "sparse_exabytes": lambda: _sparse(3, HUGE, HUGE),
    "sparse_index_outside": lambda: _sparse(1 << 40, 4),
    "sparse_dense_8_gb": lambda: _sparse(3, HUGE),
    "canvas_65536": lambda: _giant_canvas(1 << 16, 1 << 16),
    "canvas_million_wide": lambda: _giant_canvas(32, 32 << 20),
    "canvas_8192": lambda: _giant_canvas(8192, 8192),
    "recursive_function": _recursive_function,
    "functions_ten_to_the_7": lambda: _many_functions(7),
    "metadata_100000": lambda: _with_metadata(100_000),
}


def _scalar(name: str, value: float) -> TensorProto:
    return numpy_helper.from_array(np.array(value, dtype=np.float32), name)


def _renamed(model: Model, name: str) -> Model:
    model.graph.node[0].name = name
    model.graph.input[0].name = name
    return model


def _documented(text: str) -> Model:
    model = _chain(3)
    model.doc_string = text
    return model


def _with_metadata(count: int) -> Model:
    model = _chain(3)
    for index in range(count):
        model.metadata_props.add(key=f"k{index}", value="v")
    return model


def _changed(change: Callable[[Model], object]) -> Callable[[], Model]:
    def make() -> Model:
        model = tiny_yolox()
        change(model)
        return model

    return make


def _cycle() -> Model:
    one, other = helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])
    return _model([one, other, helper.make_node("Relu", ["b"], ["y"])])


def _endless_loop() -> Model:
    """A loop of 2^62 rounds over constants, which constant folding would run."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c_in"], ["c_out"]), helper.make_node("Add", ["v_in", "v_in"], ["v_out"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v_in", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("c_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v_out", TensorProto.FLOAT, []),
        ],
    )
    rounds, true = _int64("n", 2**62), numpy_helper.from_array(np.array(True), "t")
    rounds.ClearField("dims")
    loop = helper.make_node("Loop", ["n", "t", "v"], ["r"], body=body)
    return _model([loop, helper.make_node("Add", ["x", "r"], ["y"])], [rounds, true, _scalar("v", 1.0)])


_GRAPHS: dict[str, Callable[[], Model | bytes]] = {
    "cycle": _cycle,
    "self_loop": lambda: _model([helper.make_node("Add", ["x", "y"], ["y"])]),
    "duplicate_output": lambda: _model([helper.make_node("Relu", ["x"], ["y"])] * 2),
    "duplicate_initializer": lambda: _model(
        [helper.make_node("Add", ["x", "w"], ["y"])], [_scalar("w", 1.0), _scalar("w", 2.0)]
    ),
    "duplicate_input": _changed(lambda model: model.graph.input.append(model.graph.input[0])),
    "no_inputs": _changed(lambda model: model.graph.ClearField("input")),
    "no_outputs": _changed(lambda model: model.graph.ClearField("output")),
    "no_nodes": _changed(lambda model: model.graph.ClearField("node")),
    "no_weights": _changed(lambda model: model.graph.ClearField("initializer")),
    "no_opset": _changed(lambda model: model.ClearField("opset_import")),
    "opset_0": _changed(lambda model: setattr(model.opset_import[0], "version", 0)),
    "opset_999": _changed(lambda model: setattr(model.opset_import[0], "version", 999)),
    "opset_negative": _changed(lambda model: setattr(model.opset_import[0], "version", -1)),
    "opset_twice": _changed(lambda model: model.opset_import.append(helper.make_opsetid("", 3))),
    "ir_0": _changed(lambda model: setattr(model, "ir_version", 0)),
    "ir_999": _changed(lambda model: setattr(model, "ir_version", 999)),
    "ir_negative": _changed(lambda model: setattr(model, "ir_version", -7)),
    "unknown_domain": _changed(lambda model: setattr(model.graph.node[0], "domain", "com.example.rootkit")),
    "contrib_operator": lambda: _model([helper.make_node("FusedConv", ["x", "x"], ["y"], domain="com.microsoft")]),
    "python_operator": lambda: _model([helper.make_node("PyOp", ["x"], ["y"], domain="pyopadd", module="os")]),
    "aten_operator": lambda: _model([helper.make_node("ATen", ["x"], ["y"], domain="org.pytorch.aten")]),
    "string_input": _changed(lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", 8)),
    "complex_input": _changed(lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", 14)),
    "unknown_type": _changed(lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", 77)),
    "no_type": _changed(lambda model: model.graph.input[0].ClearField("type")),
    "sequence_input": _changed(
        lambda model: model.graph.input[0].type.CopyFrom(
            helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [1]))
        )
    ),
    "scalar_input": _changed(lambda model: model.graph.input[0].type.tensor_type.shape.ClearField("dim")),
    "no_shape": _changed(lambda model: model.graph.input[0].type.tensor_type.ClearField("shape")),
    "scalar_output": _changed(lambda model: model.graph.output[0].type.tensor_type.shape.ClearField("dim")),
    "batch_0": _changed(lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 0)),
    "not_a_number": _changed(
        lambda model: model.graph.initializer[1].CopyFrom(
            numpy_helper.from_array(
                np.full_like(numpy_helper.to_array(model.graph.initializer[1]), np.nan), model.graph.initializer[1].name
            )
        )
    ),
    "infinite_weights": _changed(
        lambda model: [
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(numpy_helper.to_array(tensor), np.inf), tensor.name))
            for tensor in model.graph.initializer
            if tensor.data_type == TensorProto.FLOAT
        ]
    ),
    "terminal_escapes": _changed(lambda model: setattr(model.graph.node[0], "op_type", "\x1b]0;owned\x07\x1b[2J")),
    "newlines_in_names": _changed(lambda model: setattr(model.graph.output[0], "name", "a\nruth-convert: published")),
    "null_in_name": _changed(lambda model: setattr(model.graph.output[0], "name", "a\0b")),
    "broken_utf8": lambda: tiny_yolox().SerializeToString().replace(b"AveragePool", b"Averag\xff\xfe\xfd\xfcl"),
    "reserved_names": _changed(lambda model: setattr(model.graph.node[0], "name", "ruth/score_threshold")),
    "output_is_frames": _changed(lambda model: _rename_everywhere(model, "output", "detections")),
    "input_is_frames": _changed(lambda model: _rename_everywhere(model, "images", "frames")),
    "quantised_garbage": lambda: _model([helper.make_node("DequantizeLinear", ["x", "x", "x"], ["y"])]),
    "loop_forever": _endless_loop,
}


def _rename_everywhere(model: Model, old: str, new: str) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.name = new if value.name == old else value.name
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _special(folder: Path) -> Iterator[Path]:
    """What is no regular file, and what external data of the corpus points to."""
    (folder / "secret").write_bytes(bytes(16))
    (folder / "weights.bin").write_bytes(bytes(16))
    (folder / "link.bin").symlink_to("/etc/passwd")
    os.link(folder / "secret", folder / "hard.bin")
    (folder / "folder.onnx").mkdir()
    os.mkfifo(folder / "pipe.onnx")
    (folder / "device.onnx").symlink_to("/dev/zero")
    (folder / "loop.onnx").symlink_to("loop.onnx")
    with (folder / "sparse_3_gb.onnx").open("wb") as file:
        file.truncate(3 << 30)
    yield from (folder / f"{name}.onnx" for name in ("folder", "pipe", "device", "loop", "sparse_3_gb", "missing"))
