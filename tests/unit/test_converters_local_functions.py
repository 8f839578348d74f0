"""Networks whose nodes call functions of the file's own, as PyTorch's first dynamo exporter wrote them."""

import onnx
import pytest
from onnx import helper

from converters import families
from converters.errors import ModelError
from converters.families import BuildOptions
from converters.local_functions import in_line
from converters.onnx_file import onnx_of
from converters.pictures import render_pictures
from converters.verify import onnx_runner, verify
from tests.support.tiny_heads import tiny_classifier

OWN = "pkg.onnxscript.torch_lib"


def with_functions(opset=13):
    """A classifier whose pooling is a function that calls another one."""
    model = tiny_classifier("Softmax")
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(OWN, 1)]
    model.opset_import.append(helper.make_opsetid(OWN, 1))
    pooled = [helper.make_node("GlobalAveragePool", ["a"], ["b"])]
    called = [helper.make_node("aten_mean", ["a"], ["t"], domain=OWN), helper.make_node("Softplus", ["t"], ["b"])]
    for name, nodes in (("aten_mean", pooled), ("aten_pool", called)):
        model.functions.append(helper.make_function(OWN, name, ["a"], ["b"], nodes, imports))
    node = next(node for node in model.graph.node if node.op_type == "GlobalAveragePool")
    node.op_type, node.domain = "aten_pool", OWN
    onnx.checker.check_model(model)
    return model


def test_functions_are_put_in_line_and_the_network_says_the_same():
    file = onnx_of("functions.onnx", with_functions().SerializeToString())
    assert {node.domain for node in file.model.graph.node} == {""}
    assert [entry.domain for entry in file.model.opset_import] == [""]
    family, _ = families.choose(file)
    parity = verify(family.build(file, BuildOptions()), render_pictures())
    assert parity.same_pixels.rows > 50
    assert parity.same_pixels.score < 1e-5


def test_functions_of_another_opset_are_refused_and_a_model_without_any_stays_itself():
    with pytest.raises(ModelError, match=r"functions\.onnx: its function 'aten_\w+' is of another opset .* export it"):
        onnx_of("functions.onnx", with_functions(opset=12).SerializeToString())
    model = tiny_classifier()
    assert in_line(model) is model


def test_a_graph_that_onnx_runtime_can_not_load_is_one_clear_message():
    model = with_functions()
    del model.functions[:]
    with pytest.raises(ModelError, match=r"can't load the fused graph .*aten_pool.* --task raw"):
        onnx_runner(model.SerializeToString())
