"""The command line of `ruth-convert` as argparse sees it, and the values that its options stand for."""

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from converters.errors import ModelError, UsageError
from converters.spec import Serving, Target

DEFAULT_REPOSITORY = Path("model_repository")
MAX_DEFAULT_INSTANCES = 8
_BUILTINS = ("people_hog",)
_HELP = {
    "inspect": "say what an ONNX file is and which family it is of",
    "onnx": "convert an ONNX file and publish it",
    "builtin": "publish a model that is built from OpenCV's own coefficients",
    "list": "list the models of a repository",
    "verify": "check a published model again",
    "lint": "load every model of a repository in a real Triton",
}


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would end the process."""

    def error(self, message: str) -> NoReturn:
        """Print the usage, and leave the rest to the command line's own handling of errors."""
        self.print_usage(sys.stderr)
        raise UsageError(message)


def parser(verbs: Iterable[str]) -> argparse.ArgumentParser:
    """Return the parser; `verb` in its result is one of `verbs`, and wrong usage raises `UsageError`."""
    top = _Parser(
        prog="ruth-convert",
        description="Turn a trained model into a checked, versioned model in a Triton repository.",
        epilog="Exit status: 0 done, 1 the model or data can't be used, 2 wrong usage, 3 something needed is missing.",
    )
    below = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in verbs:
        sub = below.add_parser(verb, help=_HELP[verb], description=_HELP[verb][0].upper() + _HELP[verb][1:] + ".")
        sub.add_argument("--json", action="store_true", help="print one JSON object")
        _ADD[verb](sub)
    return top


def _add_inspect(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("model", type=Path, metavar="MODEL", help="ONNX file; untrusted input")


def _add_onnx(sub: argparse.ArgumentParser) -> None:
    _add_inspect(sub)
    sub.add_argument("--name", required=True, help="model name: 1 to 64 of a-z, 0-9, _")
    sub.add_argument("--family", default="auto", help="family, or auto (default) to find it")
    sub.add_argument("--labels", type=Path, metavar="FILE", help="class names, one a line")
    sub.add_argument("--licence", help="of the model, for the manifest")
    sub.add_argument("--score-threshold", type=float, help="leave out rows below it (default: the family's)")
    sub.add_argument("--nms-iou", type=float, help="suppress boxes that overlap more (default: the family's)")
    sub.add_argument("--max-detections", type=int, default=100, help="rows of the output (default 100)")
    _add_publishing(sub)


def _add_builtin(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("builtin", choices=_BUILTINS, help="which one")
    sub.add_argument("--name", default=_BUILTINS[0], help=f"model name (default {_BUILTINS[0]})")
    _add_publishing(sub)


def _add_list(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--repository",
        type=Path,
        default=DEFAULT_REPOSITORY,
        metavar="DIR",
        help=f"model repository (default {DEFAULT_REPOSITORY})",
    )


def _add_verify(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("name", metavar="NAME", help="published model")
    sub.add_argument("--pictures", type=Path, metavar="DIR", help="pictures to ask it about (default: rendered ones)")
    _add_list(sub)


def _add_lint(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("directory", type=Path, metavar="DIR", help="model repository")


def _add_publishing(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--target", type=Target, choices=list(Target), default=Target.CPU, help="machine to serve it")
    sub.add_argument("--pictures", type=Path, metavar="DIR", help="verify with these (default: rendered ones)")
    sub.add_argument("--instances", type=_positive, help="copies that run at once (default: cores on a CPU, else 1)")
    sub.add_argument("--threads", type=_positive, help="ONNX Runtime threads of each copy (default 1)")
    sub.add_argument("--max-batch-size", type=_positive, default=8, help="largest dynamic batch (default 8)")
    sub.add_argument("--dry-run", action="store_true", help="do everything but publish")
    _add_list(sub)


_ADD = {
    "inspect": _add_inspect,
    "onnx": _add_onnx,
    "builtin": _add_builtin,
    "list": _add_list,
    "verify": _add_verify,
    "lint": _add_lint,
}


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


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
        raise ModelError(f"labels {path} can't be read ({error}); give a text file of one label a line") from error
    if not labels or not all(labels):
        raise ModelError(f"labels {path} has no label or a blank line; give one label a line")
    return labels
