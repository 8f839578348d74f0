"""`ruth-convert targets`: which Triton image carries what."""

import argparse
from typing import TYPE_CHECKING

from converters.spec import Target
from converters.verbs.answer import Answer, Report

if TYPE_CHECKING:
    from converters.targets import Image

HELP = "list the Triton images and the versions that each carries"

_COLUMNS = ("tag", "triton", "cuda", "tensorrt", "onnxruntime", "driver", "jetpack")


def add(sub: argparse.ArgumentParser) -> None:
    """Add the options of `targets`."""
    sub.add_argument("--target", type=Target, choices=list(Target), help="only images for this machine")


def run(parsed: argparse.Namespace, _report: Report) -> Answer:
    """Return the table, newest image first."""
    from converters.targets import images

    chosen = [image for image in reversed(images()) if parsed.target is None or parsed.target in image.targets]
    rows = [_COLUMNS, *(_row(image) for image in chosen)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = ["* inferred. A plan loads only in the TensorRT that built it; an image is probed before a plan is built."]
    return Answer(value={"images": chosen}, lines=[*lines, *notes])


def _row(image: "Image") -> tuple[str, ...]:
    cells = {column: getattr(image, column) + ("*" if column in image.inferred else "") or "-" for column in _COLUMNS}
    if image.default_for:
        cells["jetpack"] = " ".join(filter(None, (image.jetpack, f"default for {image.default_for.value}")))
    return tuple(cells.values())
