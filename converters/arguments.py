"""The command line of `ruth-convert` as argparse sees it, and the values that its options stand for."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, Protocol

from converters.errors import ModelError, UsageError
from converters.examples import examples_of
from converters.spec import Accelerator, Precision, Ranges, Serving, Target, View, checked_name

DEFAULT_REPOSITORY = Path("model_repository")
MAX_DEFAULT_INSTANCES = 8
_BUILTINS = ("people_hog",)
_HELP = {
    "onnx": "convert an ONNX file or a network of PyTorch and publish it",
    "builtin": "publish a model that is built from OpenCV's own coefficients",
    "list": "list the models of a repository",
    "verify": "check a published model again",
    "lint": "check the files of every model of a repository, and load each in a real Triton",
}


class Options(Protocol):
    """What the parser needs to know of a verb that is a module of `converters.verbs`."""

    @property
    def HELP(self) -> str:  # noqa: N802  # a module's constant
        """One line of help."""
        ...

    def add(self, sub: argparse.ArgumentParser, /) -> None:
        """Add its options."""
        ...


class Accepting(Protocol):
    """A parser, or a group of its options."""

    def add_argument(self, *names: str, **settings: Any) -> object:  # noqa: ANN401  # argparse's own
        """Add an option."""
        ...


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would end the process."""

    def error(self, message: str) -> NoReturn:
        """Print the usage, and leave the rest to the command line's own handling of errors."""
        self.print_usage(sys.stderr)
        raise UsageError(message)


def parser(verbs: Iterable[str], modules: Mapping[str, Options]) -> argparse.ArgumentParser:
    """Return the parser; `verb` in its result is one of `verbs` or a key of `modules`.

    Wrong usage raises `UsageError`.
    """
    top = _Parser(
        prog="ruth-convert",
        description="Turn a trained model into a checked, versioned model in a Triton repository.",
        epilog=f"{examples_of('')}\n\nruth-convert VERB --help tells more of each; the guide is docs/converting.md.\n"
        "Exit status: 0 done, 1 the model or data can't be used, 2 wrong usage, 3 something needed is missing.\n"
        "RUTH_CONVERT_TRACEBACK=1 in the environment shows where a bug of this program came about.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    below = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    offered: list[tuple[str, str, Callable[[argparse.ArgumentParser], None]]]
    offered = [(verb, _HELP[verb], _ADD[verb]) for verb in verbs]
    offered += [(verb, module.HELP, module.add) for verb, module in modules.items()]
    for verb, said, add in offered:
        sub = below.add_parser(
            verb,
            help=said,
            description=f"{said[0].upper()}{said[1:]}.",
            epilog=examples_of(verb),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,  # whoever reads the options again, as for --json, finds them as they are written
        )
        sub.add_argument("--json", action="store_true", help="print one JSON object")
        add(sub)
    return top


def _add_onnx(sub: argparse.ArgumentParser) -> None:
    add_model(sub)
    sub.add_argument("--name", required=True, help="model name: 1 to 64 of a-z, 0-9, _")
    _add_reading(sub.add_argument_group("what it is", "found in the file itself where nothing is said"))
    _add_finding(sub.add_argument_group("what it finds", "part of the graph that is published"))
    _add_precision(sub.add_argument_group("precision", "another one than fp32 is published only if it finds the same"))
    _add_publishing(sub)


def _add_reading(group: Accepting) -> None:
    group.add_argument(
        "--family", default="auto", help="ask this one alone (default auto; `ruth-convert inspect` lists them with why)"
    )
    group.add_argument(
        "--description", type=Path, metavar="FILE", help="TOML file that says what the network is; for --family custom"
    )
    group.add_argument(
        "--task",
        choices=("auto", "raw"),
        default="auto",
        help="raw publishes the graph's own tensors for direct calls, whatever family it is of (default auto)",
    )
    add_size(group)
    group.add_argument("--labels", type=Path, metavar="FILE", help="class names, one a line")
    group.add_argument("--licence", help="of the model, for the manifest")


def _add_finding(group: Accepting) -> None:
    group.add_argument(
        "--score-threshold", type=float, metavar="SCORE", help="leave out rows below it (default: the family's)"
    )
    group.add_argument(
        "--nms-iou", type=float, metavar="IOU", help="suppress boxes that overlap more (default: the family's)"
    )
    group.add_argument(
        "--max-detections", type=int, default=100, metavar="ROWS", help="rows of the output (default 100)"
    )
    group.add_argument(
        "--view",
        type=View,
        choices=list(View),
        default=View.UPRIGHT,
        help="rot90 looks at each frame turned a quarter to both sides too: finds people who lie (default upright)",
    )


def add_model(sub: argparse.ArgumentParser) -> None:
    """Add MODEL and what belongs to it."""
    sub.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="ONNX file, or a .pt2 file of torch.export.save, both untrusted input; or package.module:factory, a "
        "function of your own that takes nothing and returns a torch.nn.Module (its code is run)",
    )
    sub.add_argument(
        "--example",
        metavar="SHAPE|FILE",
        help="input of a factory's network: 1x3x640x640[:float32], a .npy or .npz file, or a picture",
    )


def add_size(sub: Accepting) -> None:
    """Add `--size`, read as height and width."""
    sub.add_argument(
        "--size", type=_size, metavar="WIDTHxHEIGHT", help="of a network that takes any (default: its metadata's)"
    )


def _add_precision(group: Accepting) -> None:
    group.add_argument(
        "--precision",
        type=Precision,
        choices=list(Precision),
        default=Precision.FP32,
        help="arithmetic of the network (default fp32); fp16 and int8 must find what fp32 finds",
    )
    group.add_argument(
        "--calibration",
        type=Path,
        metavar="PATH",
        help="clip or folder of pictures to judge fp16 and int8 by",
    )
    group.add_argument(
        "--ranges",
        type=Ranges,
        choices=list(Ranges),
        default=Ranges.MINMAX,
        help="how int8 takes a value's range from the calibration: all of it, or less its rare ends (default minmax)",
    )
    group.add_argument(
        "--min-f1",
        type=float,
        metavar="F1",
        help="agreement with fp32 to reach (default: fp16 0.98, int8 0.95; none where ground truth judges)",
    )
    group.add_argument("--annotations", type=Path, metavar="FILE", help="COCO's JSON of boxes: judge by loss of mAP")
    group.add_argument("--images", type=Path, metavar="DIR", help="the pictures that --annotations names")
    group.add_argument(
        "--max-map-loss", type=float, metavar="LOSS", help="against fp32 (default: fp16 0.005, int8 0.02)"
    )


def _add_builtin(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("builtin", choices=_BUILTINS, help="which one")
    sub.add_argument("--name", default=_BUILTINS[0], help=f"model name (default {_BUILTINS[0]})")
    _add_publishing(sub)


def add_repository(sub: Accepting) -> None:
    """Add `--repository`."""
    sub.add_argument(
        "--repository",
        type=Path,
        default=DEFAULT_REPOSITORY,
        metavar="DIR",
        help=f"model repository (default {DEFAULT_REPOSITORY})",
    )


def add_server(sub: Accepting) -> None:
    """Add `--server`."""
    sub.add_argument(
        "--server", metavar="HOST:PORT", help="gRPC address of the Triton that serves this repository: load it there"
    )


def add_name(sub: argparse.ArgumentParser) -> None:
    """Add `NAME`, refused before any path is made of it unless it is safe as one."""
    sub.add_argument("name", metavar="NAME", type=checked_name, help="published model")


def _add_verify(sub: argparse.ArgumentParser) -> None:
    add_name(sub)
    sub.add_argument("--pictures", type=Path, metavar="DIR", help="pictures to ask it about (default: rendered ones)")
    sub.add_argument(
        "--server",
        metavar="HOST:PORT",
        help="gRPC address of a Triton that serves it, on a GPU or from a plan: compare what that one finds",
    )
    sub.add_argument(
        "--min-f1",
        type=_share,
        default=0.98,
        metavar="F1",
        help="with --server: smallest agreement with ONNX Runtime on a CPU (default 0.98)",
    )
    add_repository(sub)


def _add_lint(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("directory", type=Path, metavar="DIR", help="model repository")


def _add_publishing(sub: argparse.ArgumentParser) -> None:
    group = sub.add_argument_group("checking and serving")
    group.add_argument(
        "--target", type=Target, choices=list(Target), default=Target.CPU, help="serve it there (default cpu)"
    )
    group.add_argument(
        "--accelerator",
        type=Accelerator,
        choices=list(Accelerator),
        default=Accelerator.NONE,
        help="tensorrt: have ONNX Runtime build engines at the first load on a GPU",
    )
    group.add_argument("--pictures", type=Path, metavar="DIR", help="verify with these (default: rendered ones)")
    group.add_argument(
        "--instances", type=positive, metavar="N", help="copies that run at once (default: cores on a CPU, else 1)"
    )
    group.add_argument("--threads", type=positive, metavar="N", help="ONNX Runtime threads of each copy (default 1)")
    group.add_argument(
        "--max-batch-size", type=positive, default=8, metavar="N", help="largest dynamic batch (default 8)"
    )
    group.add_argument("--warmup", action="store_true", help="have Triton run a picture in each batch size at its load")
    group.add_argument("--dry-run", action="store_true", help="do everything but publish")
    add_server(group)
    add_repository(group)


_ADD = {
    "onnx": _add_onnx,
    "builtin": _add_builtin,
    "list": add_repository,
    "verify": _add_verify,
    "lint": _add_lint,
}


def positive(text: str) -> int:
    """Read an integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _share(text: str) -> float:
    """Return a number of 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def _size(text: str) -> tuple[int, int]:
    """Return height and width of `640x480`."""
    width, separator, height = text.partition("x")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 640x480")
    return positive(height), positive(width)


def serving_of(parsed: argparse.Namespace) -> Serving:
    """Fill in what suits the target: on a CPU an instance of one thread for each core, and no wait for a batch.

    A batch gains nothing there, and a request that waits to join one leaves an instance idle (docs/adr/0023).
    """
    on_cpu = parsed.target is Target.CPU
    cores = min(len(os.sched_getaffinity(0)), MAX_DEFAULT_INSTANCES)
    return Serving(
        target=parsed.target,
        max_batch_size=parsed.max_batch_size,
        instances=parsed.instances or (cores if on_cpu else 1),
        threads=parsed.threads or 1,
        max_queue_delay_microseconds=0 if on_cpu else 500,
        accelerator=parsed.accelerator,
    )


def labels_of(path: Path | None) -> tuple[str, ...] | None:
    """Read one label a line; the last line may be blank.

    Raises:
        ModelError: The file can't be read, is empty or holds a blank line.
    """
    if path is None:
        return None
    try:
        labels = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ModelError(f"labels {path} can't be read ({why}); give a text file of one label a line") from error
    if not labels or not all(labels):
        raise ModelError(f"labels {path} has no label or a blank line; give one label a line")
    return labels
