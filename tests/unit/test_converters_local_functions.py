"""Networks whose nodes call functions of the file's own, as PyTorch's first dynamo exporter wrote them."""

import onnx
import pytest
from onnx import helper

from converters import families
from converters.errors import ModelError
from converters.families import BuildOptions
from converters.inspection import inspect
from converters.local_functions import in_line
from converters.onnx_file import onnx_of
from converters.pictures import render_pictures
from converters.raw import raw_model
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


def test_functions_of_another_opset_are_for_direct_calls_only_and_a_model_without_any_stays_itself():
    file = onnx_of("functions.onnx", with_functions(opset=12).SerializeToString())
    assert raw_model(file).batched
    assert inspect(file.model, 13)
    with pytest.raises(ModelError, match=r"its function 'aten_\w+' is of another opset .* with --task raw"):
        families.FAMILIES["classifier"].build(file, BuildOptions())
    model = tiny_classifier()
    assert in_line(model) is model


def test_a_domain_of_functions_stays_known_where_operators_of_it_do():
    model = with_functions()
    model.opset_import[1].domain = "com.microsoft"
    for part in (model.graph, *model.functions):
        for node in part.node:
            node.domain = node.domain and "com.microsoft"
    for function in model.functions:
        function.domain = "com.microsoft"
        function.opset_import[1].domain = "com.microsoft"
    pooled = next(node for node in model.graph.node if node.op_type == "aten_pool")
    at = list(model.graph.node).index(pooled)
    model.graph.node.insert(at, helper.make_node("Gelu", [pooled.input[0]], ["gelu"], domain="com.microsoft"))
    model.graph.node[at + 1].input[0] = "gelu"
    file = onnx_of("functions.onnx", model.SerializeToString())
    assert not file.model.functions
    assert [entry.domain for entry in file.model.opset_import] == ["", "com.microsoft"]
    verify(families.FAMILIES["classifier"].build(file, BuildOptions()), render_pictures())


def test_a_graph_that_onnx_runtime_can_not_load_is_one_clear_message():
    model = with_functions()
    del model.functions[:]
    with pytest.raises(ModelError, match=r"can't load the fused graph .*aten_pool.* --task raw"):
        onnx_runner(model.SerializeToString())
