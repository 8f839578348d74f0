"""`ruth-convert`: parse, call, exit status. The only place that prints: results on stdout, the rest on stderr."""

import argparse
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from converters.arguments import labels_of, parser, serving_of
from converters.errors import ConvertError, UsageError
from converters.progress import Progress
from converters.spec import Precision
from converters.verbs import VERBS

if TYPE_CHECKING:
    from converters.precision_options import Asked, PrecisionOptions
    from converters.publish import Publication, Request
    from converters.verify import Parity

_INTERRUPTED = 130
_TRACEBACK = "RUTH_CONVERT_TRACEBACK"
"""Environment variable: anything in it has a bug's traceback printed."""

Verb = Callable[[argparse.Namespace, Progress], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status: 0 done, 1 unusable, 2 wrong usage, 3 something is missing."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    progress = Progress(live=sys.stderr.isatty())
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        parsed = parser(_VERBS, VERBS).parse_args(given, argparse.Namespace(given=given))
        status = _VERBS.get(parsed.verb, _answer)(parsed, progress)
        sys.stdout.flush()
    except ConvertError as error:
        progress.close()
        return _failed(str(error), error.exit_status, given)
    except KeyboardInterrupt:
        progress.close()
        return _failed("interrupted; a model is published whole or not at all", _INTERRUPTED, given)
    except BrokenPipeError:  # nobody reads the result any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own last flush
        return 1
    except Exception as error:  # noqa: BLE001  # a bug, told as such
        progress.close()
        return _failed(_bug(error), 1, given)
    finally:
        progress.close()
    return status


def _bug(error: Exception) -> str:
    """Return what to say of an error that nothing foresaw; prints its traceback where that is asked for."""
    what = f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0]}"
    if os.environ.get(_TRACEBACK):
        traceback.print_exception(error)
        return f"{what}; this is a bug of ruth-convert: report it with the traceback above"
    return f"{what}; this is a bug of ruth-convert: report it with the traceback that {_TRACEBACK}=1 shows"


def _failed(why: str, status: int, given: Sequence[str]) -> int:
    """Say why on stderr and, to machines, as the one JSON object on stdout; returns the status."""
    print(f"ruth-convert: {why}", file=sys.stderr)
    if "--json" in given:
        _print_json({"error": why, "exit_status": status})
    return status


def _interrupted(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _answer(parsed: argparse.Namespace, progress: Progress) -> int:
    answer = VERBS[parsed.verb].run(parsed, progress)
    progress.close()
    if parsed.json:
        _print_json(answer.value)
    else:
        print("\n".join(answer.lines))
    return answer.status


def _onnx(parsed: argparse.Namespace, progress: Progress) -> int:
    from converters.families import BuildOptions
    from converters.publish import convert_onnx

    if parsed.task == "raw":
        return _raw(parsed, progress)
    options = BuildOptions(
        labels=labels_of(parsed.labels),
        score_threshold=parsed.score_threshold,
        nms_iou=parsed.nms_iou,
        max_detections=parsed.max_detections,
        licence=parsed.licence,
        size=parsed.size,
        description=parsed.description,
    )
    request, precision = _request(parsed), _precision(parsed)
    done = convert_onnx(parsed.model, parsed.family, options, request, progress, parsed.view, precision)
    return _published(done, parsed, progress)


def _precision(parsed: argparse.Namespace) -> "PrecisionOptions | None":
    from converters.precision_options import precision_of

    return precision_of(parsed.precision, _asked(parsed))


def _asked(parsed: argparse.Namespace) -> "Asked":
    from converters.precision_options import Asked

    return Asked(
        calibration=parsed.calibration,
        ranges=parsed.ranges,
        min_f1=parsed.min_f1,
        annotations=parsed.annotations,
        images=parsed.images,
        max_map_loss=parsed.max_map_loss,
    )


def _raw(parsed: argparse.Namespace, progress: Progress) -> int:
    from converters.publish_raw import publish_raw

    decoding = ("family", "labels", "score_threshold", "nms_iou", "view", "description", "size")
    given = [
        f"--{name.replace('_', '-')}" for name in decoding if getattr(parsed, name) not in (None, "auto", "upright")
    ]
    if given:
        raise UsageError(f"--task raw decodes nothing and has no use for {', '.join(given)}; leave it out")
    if parsed.precision is not Precision.FP32 or _asked(parsed).given():
        raise UsageError(
            "another precision is judged by the boxes it finds, and --task raw finds none: leave out "
            f"{', '.join(['--precision', *_asked(parsed).given()])}, or give a --family or a --description"
        )
    return _published(publish_raw(parsed.model, parsed.licence, _request(parsed), progress), parsed, progress)


def _builtin(parsed: argparse.Namespace, progress: Progress) -> int:
    from converters import builtin_hog
    from converters.publish import publish

    progress(f"build {builtin_hog.NAME}")
    return _published(publish(builtin_hog.build(), _request(parsed), progress), parsed, progress)


def _list(parsed: argparse.Namespace, _progress: Progress) -> int:
    from converters.published import list_models

    models = list_models(parsed.repository)
    if parsed.json:
        _print_json({"models": [asdict(model) for model in models]})
        return 0
    if not models:
        print(f"ruth-convert: {parsed.repository} holds no model", file=sys.stderr)
    for model in models:
        facts = model.problem or f"{model.task or 'outside the contract'}  {model.canvas}  {model.precision}"
        print(f"{model.name:<24} {model.version or '-':>4}  {facts}")
    return 0


def _verify(parsed: argparse.Namespace, progress: Progress) -> int:
    from converters.published import verify_published

    if parsed.server:
        return _verify_served(parsed, progress)
    difference = verify_published(parsed.repository, parsed.name, parsed.pictures, progress)
    progress.close()
    if parsed.json:
        _print_json({"name": parsed.name, "triton": asdict(difference)})
    else:
        print(f"{parsed.name} is as it was published; Triton against ONNX Runtime: {difference}")
    return 0


def _verify_served(parsed: argparse.Namespace, progress: Progress) -> int:
    from converters.pictures import load_pictures, render_pictures
    from converters.served_answers import compare_with_server

    pictures = load_pictures(parsed.pictures) if parsed.pictures else render_pictures()
    agreed = compare_with_server(parsed.repository, parsed.name, parsed.server, pictures, parsed.min_f1, progress)
    progress.close()
    if parsed.json:
        _print_json({"name": parsed.name, "server": parsed.server, "agreement": asdict(agreed)})
    else:
        print(f"{parsed.server} finds what {parsed.name} finds by ONNX Runtime here: {agreed}")
    return 0


def _lint(parsed: argparse.Namespace, progress: Progress) -> int:
    from converters.published import lint

    models = lint(parsed.directory, progress)
    progress.close()
    if parsed.json:
        _print_json({"models": [asdict(model) for model in models]})
    else:
        for model in models:
            print(
                "\n".join([f"{model.name}: {finding}" for finding in model.findings]), end="\n" * bool(model.findings)
            )
            if model.sound:
                print(f"{model.name}: sound")
    return int(not all(model.sound for model in models))


def _request(parsed: argparse.Namespace) -> "Request":
    from converters.live_server import LiveServer
    from converters.publish import Request

    return Request(
        name=parsed.name,
        repository=parsed.repository,
        serving=serving_of(parsed),
        pictures=parsed.pictures,
        example=getattr(parsed, "example", None),
        command=["ruth-convert", *parsed.given],
        now=datetime.now(UTC),
        dry_run=parsed.dry_run,
        warmup=parsed.warmup,
        server=LiveServer(parsed.server) if parsed.server else None,
    )


def _published(publication: "Publication", parsed: argparse.Namespace, progress: Progress) -> int:
    progress.close()
    if parsed.json:
        _print_json(asdict(publication))
        return 0
    print(f"{publication.name} version {publication.version}: {publication.outcome}, {publication.folder}")
    print(f"family  {publication.family}: {publication.why}")
    if publication.parity is not None:
        _print_parity(publication.parity)
    if publication.precision:
        print(f"precision  {publication.precision['summary']}")
    if publication.triton is not None:
        print(f"triton  {publication.triton}")
    return 0


def _print_parity(parity: "Parity") -> None:
    print(
        f"parity  {parity.same_pixels} (same pixels, scores from {parity.score_threshold:g}, "
        f"batches of {', '.join(map(str, parity.batch_sizes))})"
    )
    if parity.from_rgb is not None:
        print(f"        {parity.from_rgb} (original fed RGB that never was NV12)")


def _print_json(value: Mapping[str, Any]) -> None:
    print(json.dumps(dict(value), default=_plain, ensure_ascii=False))


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)


_VERBS: dict[str, Verb] = {
    "onnx": _onnx,
    "builtin": _builtin,
    "list": _list,
    "verify": _verify,
    "lint": _lint,
}
