"""PyTorch's own files, told by their first bytes: programs that can be read, and pickles, which are code."""

from enum import StrEnum

_ZIP = b"PK\x03\x04"
_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_TORCH_TAR = b"ustar"
_TAR_MAGIC_AT = 257


class PyTorchFile(StrEnum):
    """What a file of PyTorch holds; its text names it in a message."""

    PROGRAM = "a program of torch.export.save"
    PICKLE = "a pickled checkpoint of torch.save"
    SCRIPT = "a TorchScript archive of torch.jit.save"


def pytorch_file(data: bytes) -> PyTorchFile | None:
    """Tell what the bytes are, whatever the file is called; None for what isn't PyTorch's."""
    if data.startswith(_PICKLES) or data[_TAR_MAGIC_AT : _TAR_MAGIC_AT + len(_TORCH_TAR)] == _TORCH_TAR:
        return PyTorchFile.PICKLE
    if not data.startswith(_ZIP):
        return None
    if b"/archive_format" in data or b"serialized_exported_program.json" in data:
        return PyTorchFile.PROGRAM
    if b"/constants.pkl" in data:
        return PyTorchFile.SCRIPT
    return PyTorchFile.PICKLE if b"data.pkl" in data else None


def pickle_refusal(data: bytes) -> str | None:
    """Return why the bytes are not read, None where they are no pickle."""
    kind = pytorch_file(data)
    if kind is None or kind is PyTorchFile.PROGRAM:
        return None
    return (
        f"{kind}: opening one runs whatever code is in it, so it is not opened. In the environment that it was "
        "trained in, export it: torch.export.save(torch.export.export(module.eval(), (example,)), 'model.pt2'), or of "
        "Ultralytics `yolo export model=FILE format=onnx`; or write a function that builds the network and loads your "
        "own file, and give that: ruth-convert onnx my_model:make --example 1x3x640x640 --name NAME"
    )
