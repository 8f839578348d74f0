"""`ruth-convert tensorrt NAME`: a TensorRT plan beside a published model."""

import argparse
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from converters.arguments import add_name, add_repository
from converters.errors import UsageError
from converters.spec import Target
from converters.verbs.answer import Answer, Report

if TYPE_CHECKING:
    from converters.targets import Image

HELP = "build a TensorRT plan from a published model, beside it, for one kind of GPU"


def add(sub: argparse.ArgumentParser) -> None:
    """Add the options of `tensorrt`."""
    add_name(sub)
    targets = [Target.CUDA, Target.L4T]
    sub.add_argument("--target", type=Target, choices=targets, default=Target.CUDA, help="machine that will serve it")
    sub.add_argument(
        "--image",
        metavar="TAG",
        help="Triton image that will serve it, built here all the same (default: the target's, see `targets`)",
    )
    sub.add_argument(
        "--in-image",
        nargs="?",
        const="",
        metavar="TAG",
        help="build inside this Triton image, by Docker (default: --image's)",
    )
    sub.add_argument("--batch", metavar="MIN,OPT,MAX", help="batch sizes (default: 1, the runtime's, the model's)")
    sub.add_argument("--workspace", type=int, metavar="MIB", help="memory that a tactic may use (default: the GPU's)")
    sub.add_argument("--builder-level", type=int, metavar="N", help="0 to 5: how long to look for faster tactics")
    sub.add_argument("--timing-cache", type=Path, metavar="DIR", help="folder of timing caches (default: the user's)")
    sub.add_argument("--hardware-compatible", action="store_true", help="one plan for Ampere and later GPUs; slower")
    sub.add_argument("--version-compatible", action="store_true", help="later TensorRT versions load it too; slower")
    sub.add_argument("--dry-run", action="store_true", help="build, and lay nothing down")
    add_repository(sub)


def run(parsed: argparse.Namespace, report: Report) -> Answer:
    """Build the plan and lay it down."""
    from converters.engine_options import parse_batch
    from converters.plans import PlanRequest, make_plan

    request = PlanRequest(
        name=parsed.name,
        repository=parsed.repository,
        target=parsed.target,
        image=_image(parsed.target, _tag(parsed.image, parsed.in_image)),
        in_image=parsed.in_image is not None,
        profile=parse_batch(parsed.batch) if parsed.batch else None,
        workspace_mib=parsed.workspace,
        builder_level=parsed.builder_level,
        hardware_compatible=parsed.hardware_compatible,
        version_compatible=parsed.version_compatible,
        timing_cache=parsed.timing_cache or _default_cache(),
        now=datetime.now(UTC),
        dry_run=parsed.dry_run,
    )
    made = make_plan(request, report)
    plan = made.plan
    lines = [
        f"{made.name} version {made.version}: {made.outcome}, {plan.file}",
        f"gpu     {plan.gpu} ({plan.compute_capability}), TensorRT {plan.tensorrt}, batch {_sizes(plan.profile)}",
        "serve   tritonserver --model-config-name=cuda"
        + (" --backend-config=tensorrt,version-compatible=true" if plan.options["version_compatible"] else ""),
    ]
    return Answer(value=asdict(made), lines=lines)


def _tag(image: str | None, in_image: str | None) -> str | None:
    """Return the image that was named, by whichever option."""
    if image and in_image and image != in_image:
        raise UsageError(f"a plan is for one image: --image says {image}, --in-image {in_image}")
    return image or in_image


def _image(target: Target, given: str | None) -> "Image":
    """Return the image of a tag; a whole reference is one that nothing is known of before it is asked."""
    from converters.targets import Image, image_for

    if given and "/" in given:
        return Image(tag=given, reference=given, targets=(target,), triton="", cuda="", tensorrt="", onnxruntime="")
    return image_for(target, given or None)


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ruth-convert" / "tensorrt"


def _sizes(profile: object) -> str:
    assert isinstance(profile, dict)
    return ",".join(str(profile[key]) for key in ("min", "opt", "max"))
