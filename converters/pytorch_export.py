"""The child process that runs PyTorch: a folder with a request in, `model.onnx` and what the network answers out.

The only module that imports torch. It runs the user's own factory, or a program out of an untrusted file that
`exported_program` made harmless, under limits on memory and CPU time.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# pyright: reportUnknownParameterType=false, reportUnknownLambdaType=false
# torch is an extra: where it isn't installed, its types aren't known.

import importlib
import json
import os
import resource
import sys
import sysconfig
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from converters.exported_program import NotReadable, harmless
from converters.pytorch_samples import samples_of

if TYPE_CHECKING:
    import onnx
    import torch

REFUSED = 3
"""Exit status of a refusal; `refusal.txt` holds the reason."""
MISSING = 4
"""Exit status where PyTorch or its exporter isn't installed; `refusal.txt` holds its name."""

REQUEST, MODEL, ANSWERS, FACTS, REFUSAL = "request.json", "model.onnx", "answers.npz", "facts.json", "refusal.txt"
PROGRAM, EXAMPLES, PICTURES = "program.pt2", "examples.npz", "pictures.npz"

_BASE_BYTES = 4 * 2**30
_BYTES_PER_BYTE = 12
"""Private memory for a program out of a file: libraries and activations, and copies of its weights."""
_SHARE_OF_MEMORY = 0.75
"""Of this machine's, for a factory, whose size nobody knows beforehand."""
CPU_LIMIT_S = 900
_TRACED_BATCH = 2
"""A batch of one would be taken for a constant."""

_T = TypeVar("_T")


class Refused(Exception):  # noqa: N818  # a verdict, not an error
    """Why the network can't be exported."""


def main(folder: Path) -> int:
    """Export what the request names; return the exit status."""
    request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    factory = request["factory"]
    _limit(None if factory else (folder / PROGRAM).stat().st_size)
    try:
        data = None if factory else harmless((folder / PROGRAM).read_bytes())
        _import_exporter()
        program = _program_of(data) if data is not None else _traced(_built(factory), _arrays(folder / EXAMPLES))
        _export(program, folder)
    except (Refused, NotReadable) as refused:
        return _say(folder, str(refused), REFUSED)
    except MemoryError:
        return _say(folder, "needs more memory than it may have; export it for a smaller picture", REFUSED)
    except _NotInstalled as missing:
        return _say(folder, str(missing), MISSING)
    return 0


class _NotInstalled(Exception):  # noqa: N818
    """Name of the package."""


def _say(folder: Path, text: str, status: int) -> int:
    (folder / REFUSAL).write_text(text, encoding="utf-8")
    return status


def _limit(size: int | None) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = int(memory * _SHARE_OF_MEMORY) if size is None else _BASE_BYTES + _BYTES_PER_BYTE * size
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _import_exporter() -> None:
    """Import it before the user's folder is on the path, where a file of the same name may lie."""
    for name in ("torch", "onnxscript"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise _NotInstalled(error.name or name) from error


def _arrays(path: Path) -> list[NDArray[Any]]:
    with np.load(path, allow_pickle=False) as file:
        return [file[name] for name in file.files]


def _built(factory: str) -> "torch.nn.Module":
    """Import the user's module and call its function.

    Raises:
        Refused: There is no such module or function, it fails, or it returns no network.
    """
    import torch

    sys.path.insert(0, str(Path.cwd()))
    try:
        made = _function(factory)()
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"{factory}() raised {_told(error)}") from error
    finally:
        sys.path.remove(str(Path.cwd()))  # a folder `triton` in it would be taken for the compiler of that name
    if not isinstance(made, torch.nn.Module):
        raise Refused(f"{factory}() returned {type(made).__name__}, not a torch.nn.Module; return the network itself")
    return made.eval().cpu()


def _function(factory: str) -> Callable[[], object]:
    """Import the user's function.

    Raises:
        Refused: There is no such module or function, or its import fails.
    """
    module_name, _, name = factory.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise Refused(
                f"there is no module {error.name!r} in {Path.cwd()} or among the installed packages; "
                "run it in the folder that holds it"
            ) from error
        raise Refused(f"importing {module_name} raised {_told(error)}") from error
    function: Callable[[], object] | None = getattr(module, name, None)
    if not callable(function):
        offered = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise Refused(f"{module_name} has no function {name!r}; it has {', '.join(offered[:12]) or 'none'}")
    return function


def _traced(module: "torch.nn.Module", examples: Sequence[NDArray[Any]]) -> "torch.export.ExportedProgram":
    """Return the exported program of a module, with a free batch axis where that can be.

    Raises:
        Refused: It doesn't take the example, or can't be traced.
    """
    import torch

    given = tuple(torch.from_numpy(example) for example in examples)
    shapes = " and ".join(f"{'x'.join(map(str, example.shape))} {example.dtype}" for example in examples)
    with torch.no_grad():
        try:
            module(*given)
        except Exception as error:
            raise Refused(f"it can't take an example of {shapes}: {_told(error)}; give another --example") from error
        batch = torch.export.Dim.DYNAMIC
        try:
            several = tuple(value[:1].expand(_TRACED_BATCH, *value.shape[1:]).contiguous() for value in given)
            return torch.export.export(module, several, dynamic_shapes=tuple({0: batch} for _ in given))
        except Exception:  # noqa: BLE001  # whatever stands against a free axis; the next attempt says what
            return _quoted(
                lambda: torch.export.export(module, given),
                "can't be traced",
                "what its forward does next must not depend on values: use torch.where, or fix the choice in __init__",
            )


def _program_of(data: bytes) -> "torch.export.ExportedProgram":
    """Return the program of a harmless archive.

    Raises:
        Refused: This PyTorch can't read it.
    """
    import io

    import torch

    return _quoted(
        lambda: torch.export.load(io.BytesIO(data)),
        f"can't be read by PyTorch {torch.__version__}",
        "save it again with this version of PyTorch",
    )


def _export(program: "torch.export.ExportedProgram", folder: Path) -> None:
    """Write the ONNX file, what the network answers to samples, and by what it was made.

    Raises:
        Refused: It holds an operator without an ONNX counterpart, or can't be run.
    """
    import onnxscript
    import torch

    exported: Any = _quoted(  # an ONNXProgram; None is what older exporters gave
        lambda: torch.onnx.export(program, dynamo=True, verbose=False),
        "can't be written as ONNX",
        "replace that operator by ones that ONNX has",
    )
    model = exported.model_proto
    _forget_paths(model)
    (folder / MODEL).write_bytes(model.SerializeToString(deterministic=True))
    facts = {
        "pytorch": torch.__version__,
        "exporter": f"torch.onnx.export(dynamo=True), onnxscript {onnxscript.__version__}",
        "opset": str(next(entry.version for entry in model.opset_import if entry.domain == "")),
    }
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    _answer(program, model, folder)


def _answer(program: "torch.export.ExportedProgram", model: "onnx.ModelProto", folder: Path) -> None:
    """Ask the network about pictures."""
    import torch

    network = program.module(check_guards=False)
    answers: dict[str, NDArray[Any]] = {}
    with torch.no_grad():
        for index, inputs in enumerate(samples_of(model, _arrays(folder / PICTURES))):
            tensors = [torch.from_numpy(value) for value in inputs]
            outputs = _quoted(partial(network, *tensors), "can't be run on pictures", "publish its ONNX file yourself")
            leaves = [leaf for leaf in torch.utils._pytree.tree_leaves(outputs) if isinstance(leaf, torch.Tensor)]  # noqa: SLF001
            answers |= {f"in_{index}_{place}": value for place, value in enumerate(inputs)}
            answers |= {f"out_{index}_{place}": leaf.numpy(force=True) for place, leaf in enumerate(leaves)}
    np.savez(folder / ANSWERS, allow_pickle=False, **answers)


def _forget_paths(model: "onnx.ModelProto") -> None:
    """Drop the exporter's notes: lines and paths of the user's source, which would be published."""
    graph = model.graph
    for value in (model, graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")


def _quoted(call: Callable[[], _T], what: str, remedy: str) -> _T:
    """Return what a call gives.

    Raises:
        Refused: It raised; its message is distilled.
    """
    try:
        return call()
    except MemoryError:
        raise
    except Exception as error:
        raise Refused(f"{what}: {_told(error)}; {remedy}") from error


def _told(error: BaseException) -> str:
    """Return type, first line and place, in the user's own code, of what really went wrong."""
    while error.__cause__ is not None and type(error).__module__.startswith("torch"):
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    others = (
        str(Path(__file__).parent),
        sysconfig.get_path("stdlib"),
        str(Path(sys.modules["torch"].__path__[0])),
        "<",
    )
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(others)]
    where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}{where}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
