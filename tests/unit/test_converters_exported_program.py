"""An archive of `torch.export.save` reaches PyTorch only as tensors and checked text."""

import copy
import io
import json
import zipfile

import pytest

from converters.exported_program import MODEL, SAMPLE_INPUTS, NotReadable, harmless

WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
SIZE = {"type": "as_expr", "as_expr": {"expr_str": "Add(Symbol('s0', positive=True, integer=True), Integer(1))"}}
NODE = {
    "target": "torch.ops.aten.conv2d.default",
    "name": "conv2d",
    "inputs": [{"name": "input", "arg": {"as_tensor": {"name": "x"}}, "kind": 1}],
    "outputs": [{"as_tensor": {"name": "conv2d"}}],
    "metadata": {"stack_trace": 'File "/home/me/secret.py", line 1, in forward'},
}
PROGRAM = {
    "graph_module": {
        "graph": {"inputs": [{"as_tensor": {"name": "x"}}], "nodes": [NODE], "sizes": [SIZE]},
        "module_call_graph": [
            {"fqn": "", "signature": {"in_spec": '[1, {"type": "builtins.tuple", "children_spec": []}]'}}
        ],
    },
    "guards_code": ["L['x'].size()[0] == 1"],
    "torch_version": "2.13.0+cpu",
}
PAYLOAD = {
    "config": {
        "conv.weight": {
            "path_name": "weight_0",
            "use_pickle": False,
            "tensor_meta": {"device": {"type": "cuda", "index": 0}},
        }
    }
}


def members() -> dict[str, bytes]:
    return {
        "archive_format": b"pt2",
        "data/weights/weight_0": b"1234",
        WEIGHTS: json.dumps(PAYLOAD).encode(),
        CONSTANTS: b'{"config": {}}',
        MODEL: json.dumps(PROGRAM).encode(),
        SAMPLE_INPUTS: b"a pickle",
    }


def archive(content: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", compression) as file:
        for name, data in content.items():
            file.writestr(f"tiny/{name}", data)
    return written.getvalue()


def with_program(change) -> bytes:
    program = copy.deepcopy(PROGRAM)
    change(program["graph_module"]["graph"], program)
    return archive(members() | {MODEL: json.dumps(program).encode()})


def with_payload(**changes) -> bytes:
    payload = copy.deepcopy(PAYLOAD)
    payload["config"]["conv.weight"] |= changes
    return archive(members() | {WEIGHTS: json.dumps(payload).encode()})


def test_what_a_network_needs_is_kept_and_the_rest_is_left_out():
    with zipfile.ZipFile(io.BytesIO(harmless(archive(members() | {"extra/notes": b"x"})))) as file:
        kept = {name.removeprefix("model/"): file.read(name) for name in file.namelist()}
    assert set(kept) == set(members())
    assert kept[SAMPLE_INPUTS] == b""
    assert kept["data/weights/weight_0"] == b"1234"
    assert b"secret.py" not in kept[MODEL]
    assert json.loads(kept[MODEL])["guards_code"] == []
    assert b"cuda" not in kept[WEIGHTS]


def set_node(**changes):
    return lambda graph, _: graph["nodes"][0].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        set_node(target="torch.hub.load"),
        set_node(target="torch.ops.load_library"),
        set_node(target="torch.ops.aten.from_file.default"),
        set_node(target="torch.ops.aten.save.default"),
        set_node(target="_operator.attrgetter"),
        set_node(target="os.system"),
        set_node(name="x): import os; os.system('id') #"),
        set_node(name="a.b"),
        set_node(inputs=[{"name": "mode", "arg": {"as_string": "/etc/passwd"}}]),
        set_node(inputs=[{"name": "f", "arg": {"as_operator": "torch.hub.load"}}]),
        set_node(inputs=[{"name": "o", "arg": {"as_custom_obj": {"class_fqn": "__torch__.Evil"}}}]),
        lambda graph, _: graph["sizes"][0]["as_expr"].update(expr_str="__import__('os').system('id')"),
        lambda graph, _: graph["sizes"][0]["as_expr"].update(expr_str="Symbol('s0').__class__"),
        lambda graph, _: graph["sizes"][0]["as_expr"].update(expr_str="lambdify(s0)"),
        lambda graph, _: graph["sizes"][0]["as_expr"].update(expr_str="s0+" * 1000 + "s0"),
        lambda _, program: program.update({"x'; import os": 1}),
        lambda _, program: program["graph_module"]["module_call_graph"][0]["signature"].update(
            in_spec='[1, {"type": "collections.defaultdict", "children_spec": []}]'
        ),
        lambda _, program: program["graph_module"]["module_call_graph"][0]["signature"].update(in_spec="{"),
    ],
)
def test_a_program_that_could_run_code_is_refused(change):
    with pytest.raises(NotReadable, match="no network of plain operators needs"):
        harmless(with_program(change))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (with_payload(use_pickle=True), "pickled"),
        (with_payload(path_name="../../etc/passwd"), "etc/passwd|pickled"),
        (with_payload(path_name="weight_9"), "pickled"),
        (archive(members() | {WEIGHTS: b'{"config": []}'}), "list of tensors"),
        (archive(members() | {WEIGHTS: b"[" * 100_000}), "can't be read"),
        (archive(members() | {MODEL: b"[]"}), "is no table"),
        (archive({name: data for name, data in members().items() if name != MODEL}), f"has no {MODEL}"),
        (archive(members() | {"models/other.json": b"{}"}), "several programs"),
        (archive(members() | {"data/aotinductor/model/a.so": b"ELF"}), "compiled code"),
        (archive(members(), zipfile.ZIP_DEFLATED), "compressed"),
        (archive(members())[:-40], "damaged"),
        (archive(members()).replace(b"1234", b"1235"), "damaged"),
    ],
)
def test_another_archive_is_refused_with_the_reason(data, why):
    with pytest.raises(NotReadable, match=why):
        harmless(data)
