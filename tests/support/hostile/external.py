"""Models whose weights lie in another file."""

from collections.abc import Callable

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.support.hostile.parts import Model, model_of, value


def _outside(location: str, *, inside: str = "initializer") -> Model:
    """A model whose weight lies elsewhere, in a place where a reader may forget to look."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value=location)
    weight.external_data.add(key="length", value="16")
    if inside == "initializer":
        return model_of([helper.make_node("Add", ["x", "w"], ["y"])], [weight])
    constant = helper.make_node("Constant", [], ["w"], value=weight)
    if inside == "constant":
        return model_of([constant, helper.make_node("Add", ["x", "w"], ["y"])])
    body = helper.make_graph([constant, helper.make_node("Identity", ["w"], ["z"])], "b", [], [value("z")])
    condition = numpy_helper.from_array(np.array(True), "c")
    model = model_of([helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)], [condition])
    if inside == "function":
        model = model_of([helper.make_node("Inner", ["x"], ["y"], domain="own")])
        model.opset_import.append(helper.make_opsetid("own", 1))
        add = helper.make_node("Add", ["a", "w"], ["b"])
        model.functions.append(
            helper.make_function("own", "Inner", ["a"], ["b"], [constant, add], [helper.make_opsetid("", 17)])
        )
    if inside == "training":
        model = model_of([helper.make_node("Identity", ["x"], ["y"])])
        model.training_info.add().algorithm.initializer.append(weight)
    return model


_PLACES = ("constant", "subgraph", "function", "training")
EXTERNAL: dict[str, Callable[[], Model]] = {
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
