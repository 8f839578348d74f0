"""Models for a GPU, tried on a machine that has none: the same files, served by ONNX Runtime on the CPU.

Triton refuses `KIND_GPU` where there is no GPU. What a trial shows (that the graph loads, and its answers) does not
depend on it.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from converters.cuda_device import Gpu, local_gpu
from converters.errors import MissingError

_CONFIG_FILE = "config.pbtxt"


@contextmanager
def servable_here(repository: Path, names: Sequence[str], gpu: Callable[[], Gpu] = local_gpu) -> Generator[Path]:
    """Give a folder that a Triton of this machine can serve models from.

    Args:
        repository: Holds the models.
        names: The models; unless all are for the CPU or there is a GPU, the folder given holds links to their files
            beside configurations for the CPU.
        gpu: Gives the GPU of this machine.
    """
    for_cpu = {name: text for name in names if (text := _for_cpu(repository / name / _CONFIG_FILE)) is not None}
    if not for_cpu or _has(gpu):
        yield repository
        return
    with TemporaryDirectory(prefix="ruth-convert-") as folder:
        for name in names:
            _link(repository / name, Path(folder) / name, for_cpu.get(name))
        yield Path(folder)


def stands_in(config: Path, gpu: Callable[[], Gpu] = local_gpu) -> bool:
    """Tell whether a model is served by the CPU here, for want of the GPU that its config.pbtxt asks for."""
    return _for_cpu(config) is not None and not _has(gpu)


def _has(gpu: Callable[[], Gpu]) -> bool:
    try:
        gpu()
    except MissingError:
        return False
    return True


def _for_cpu(path: Path) -> str | None:
    """Return a configuration with its GPU instances on the CPU; None if it has none, or can't be read by us."""
    config = model_config_pb2.ModelConfig()  # pyright: ignore[reportAttributeAccessIssue]  # made at import
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), config)
    except (OSError, UnicodeDecodeError, text_format.ParseError):  # Triton's own message is the one to show
        return None
    kinds = model_config_pb2.ModelInstanceGroup  # pyright: ignore[reportAttributeAccessIssue]  # made at import
    on_gpu = [group for group in config.instance_group if group.kind == kinds.KIND_GPU]
    for group in on_gpu:
        group.kind = kinds.KIND_CPU
        group.ClearField("gpus")
    config.optimization.ClearField("execution_accelerators")
    return text_format.MessageToString(config) if on_gpu and config.backend == "onnxruntime" else None


def _link(model: Path, copy: Path, config: str | None) -> None:
    copy.mkdir()
    for entry in model.iterdir():
        if config is None or entry.name != _CONFIG_FILE:
            (copy / entry.name).symlink_to(entry.resolve())
    if config is not None:
        (copy / _CONFIG_FILE).write_text(config, encoding="utf-8")
