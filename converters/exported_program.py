"""Making a file of `torch.export.save` harmless before PyTorch opens it.

`torch.export.load` trusts its file: it unpickles the sample inputs, evaluates the text of symbolic sizes (`sympify`),
calls the functions that the graph names, puts names into source code that it compiles, and loads compiled libraries.
So the archive is read here by Python's own zip and JSON, what a network doesn't need is left out, all else has to be of
a form that can do no harm, and a new archive is written of it. Runs in the child (`pytorch_export`), needs no PyTorch.

Layout of the archive: `torch/export/pt2_archive/constants.py` of PyTorch 2.13.
"""

import io
import json
import re
import zipfile
from collections.abc import Mapping
from typing import Any

MODEL = "models/model.json"
SAMPLE_INPUTS = "data/sample_inputs/model.pt"
_WEIGHTS = "data/weights/"
_CONSTANTS = "data/constants/"
_CONFIGS = (f"{_WEIGHTS}model_weights_config.json", f"{_CONSTANTS}model_constants_config.json")
_KEPT = ("archive_format", "archive_version", "byteorder", ".data/version", MODEL, *_CONFIGS)
_TENSOR = re.compile(rf"{_WEIGHTS}weight_\d+|{_CONSTANTS}tensor_\d+")

_TARGET = re.compile(
    r"torch\.ops\.(?:aten|prims|torchvision|quantized_decomposed)\.(?!from_file|save|load)\w+\.\w+"
    r"|torch\.ops\.higher_order\.(?:cond|wrap_with_set_grad_enabled)"
    r"|torch\.sym_(?:max|min|int|float|not|ite|sqrt)|math\.(?:ceil|floor|trunc)"
    r"|_operator\.(?:add|sub|mul|truediv|floordiv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|getitem)"
)
_EXPRESSION = re.compile(
    r"(?:[\s\-+*/(),<>=&|~]|\d+(?:\.\d+)?|[suz]\d+|zuf\d+|True|False"
    r"|Symbol\('\w+'(?:, (?:positive|negative|nonnegative|nonzero|integer|real|finite)=(?:True|False))*\)"
    r"|(?:Integer|Rational|Float|Add|Mul|Pow|Max|Min|Eq|Ne|FloorDiv|ModularIndexing|Where|PythonMod|Mod|CleanDiv"
    r"|CeilToInt|FloorToInt|CeilDiv|PowByNatural|FloatPow|FloatTrueDiv|IntTrueDiv|TruncToInt|RoundToInt|ToFloat"
    r"|Identity)(?=\())*"
)
"""What SymPy prints of sizes: `Add(Symbol('s0', integer=True), Integer(1))`, or `s0 + 1`."""
_ARGUMENT = re.compile(r"[A-Za-z_ ,.>-]{0,64}")
"""A mode ("floor", "bilinear") or the equation of an einsum; no path."""
_NAME = re.compile(r"\w*")
_TEXT = re.compile(r"[\w.\[\]:/<>+-]*")
_CONTAINERS = {
    None,
    "builtins.tuple",
    "builtins.list",
    "builtins.dict",
    "collections.OrderedDict",
    "torch.fx.immutable_collections.immutable_list",
    "torch.fx.immutable_collections.immutable_dict",
}
_MAX_EXPRESSION = 500


class NotReadable(Exception):  # noqa: N818  # a verdict, not an error
    """Why the archive is not given to PyTorch."""


def harmless(data: bytes) -> bytes:
    """Return the archive written anew, of tensors and checked text only; sample inputs and compiled code left out.

    Raises:
        NotReadable: It is damaged, of another layout, or holds what would run code.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as error:
        raise NotReadable(f"it is damaged ({error}); save it again") from error
    for name in (MODEL, *_CONFIGS):
        content = _json(members, name)
        _check(content, "")
        if name != MODEL:
            _check_payload(content, members, name.rpartition("/")[0])
        members[name] = json.dumps(content).encode()
    members[SAMPLE_INPUTS] = b""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, kept in members.items():
            archive.writestr(f"model/{name}", kept)
    return written.getvalue()


def _members(archive: zipfile.ZipFile) -> dict[str, bytes]:
    """Read what a network needs, by name without the first folder."""
    members: dict[str, bytes] = {}
    for info in archive.infolist():
        name = info.filename.partition("/")[2]
        if info.filename == "serialized_exported_program.json":
            raise NotReadable("it is in the layout of PyTorch 2.7 and before; save it again with a newer one")
        if name.startswith("data/aotinductor/"):
            raise NotReadable("it holds compiled code (AOTInductor); save the program itself with torch.export.save")
        if info.compress_type != zipfile.ZIP_STORED:
            raise NotReadable("it is compressed, which torch.export.save doesn't do; save it again")
        if name in _KEPT or _TENSOR.fullmatch(name):
            if name in members:
                raise NotReadable(f"it holds {name} twice")
            members[name] = archive.read(info)
        elif name.startswith("models/"):
            raise NotReadable("it holds several programs; save one with torch.export.save")
    return members


def _json(members: Mapping[str, bytes], name: str) -> dict[str, Any]:
    try:
        content = json.loads(members[name])
    except KeyError as error:
        raise NotReadable(f"it has no {name}; save it again with torch.export.save") from error
    except (ValueError, RecursionError) as error:
        raise NotReadable(f"its {name} can't be read; save it again") from error
    if not isinstance(content, dict):
        raise NotReadable(f"its {name} is no table; save it again")
    return content


def _check_payload(config: dict[str, Any], members: Mapping[str, bytes], folder: str) -> None:
    """Accept tensors that lie in the archive as plain numbers."""
    payloads = config.get("config")
    if not isinstance(payloads, dict):
        raise NotReadable("its list of tensors can't be read; save it again")
    for name, payload in payloads.items():
        plain = isinstance(payload, dict) and payload.get("use_pickle") is False
        if not plain or f"{folder}/{payload.get('path_name')}" not in members:
            raise NotReadable(f"its {name[:80]!r} is no plain tensor but pickled, which would run code")


def _check(value: object, key: str) -> None:
    """Check one value of the JSON and all below it; notes and guards are taken out, devices become the CPU."""
    if isinstance(value, str):
        _check_text(value, key)
    elif isinstance(value, list):
        for entry in value:
            _check(entry, key)
    elif isinstance(value, dict):
        for left_out, nothing in (("metadata", {}), ("guards_code", [])):
            if left_out in value:
                value[left_out] = nothing
        if set(value) == {"type", "index"}:  # a device
            value.update(type="cpu", index=None)
        for name, below in value.items():
            _check_text(name, "key")
            _check(below, name)


def _check_text(text: str, key: str) -> None:
    match key:
        case "target" | "as_operator":
            harmless = _TARGET.fullmatch(text) is not None
        case "expr_str":
            harmless = len(text) <= _MAX_EXPRESSION and _EXPRESSION.fullmatch(text) is not None
        case "in_spec" | "out_spec":
            harmless = _only_containers(text)
        case "name" | "as_name" | "forward_arg_names":
            harmless = _NAME.fullmatch(text) is not None
        case "as_string" | "as_strings":
            harmless = _ARGUMENT.fullmatch(text) is not None
        case "class_fqn":
            harmless = False
        case _:
            harmless = _TEXT.fullmatch(text) is not None
    if not harmless:
        raise NotReadable(f"its {key or 'program'} holds {text[:80]!r}, which no network of plain operators needs")


def _only_containers(text: str) -> bool:
    """Tell whether a tree of arguments is of tuples, lists and dictionaries alone."""
    if not text:
        return True
    try:
        pending: list[object] = [json.loads(text)]
    except (ValueError, RecursionError):
        return False
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            if value.get("type") not in _CONTAINERS:
                return False
            pending.append(value.get("children_spec"))
    return True
