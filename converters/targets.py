"""The Triton images that a model can be made for, and what each carries. The table is `triton_images.toml`."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from converters.errors import ModelError, UsageError
from converters.spec import Target

TABLE_FILE = "triton_images.toml"
_INFERRED = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One Triton release as NVIDIA packs it. A version that isn't known is empty.

    Attributes:
        tag: Release, such as `26.08` or `24.08-igpu`.
        reference: What Docker pulls; empty for a Jetson archive.
        targets: Machines it runs on.
        triton: Version of the server.
        cuda: Version of the CUDA runtime.
        tensorrt: Version of TensorRT: the only one whose plans it loads.
        onnxruntime: Version of ONNX Runtime in its backend.
        driver: Driver branch it was made for; data-centre GPUs accept older ones.
        jetpack: JetPack releases it runs on.
        inferred: Which of these fields were inferred, not read in release notes.
        default_for: Target that takes it when nothing else is asked for.
    """

    tag: str
    reference: str
    targets: tuple[Target, ...]
    triton: str
    cuda: str
    tensorrt: str
    onnxruntime: str
    driver: str = ""
    jetpack: str = ""
    inferred: tuple[str, ...] = ()
    default_for: Target | None = None


@dataclass(frozen=True, slots=True)
class OnnxLimit:
    """The newest ONNX that a runtime loads.

    Attributes:
        ir: IR version.
        opset: Version of the standard operator set.
    """

    ir: int
    opset: int


@cache
def images() -> tuple[Image, ...]:
    """Return every image, oldest first, Jetson's last."""
    table = _table()
    servers = [_image(row, (Target.CPU, Target.CUDA), table) for row in _rows(table["images"])]
    return (*servers, *(_image(row, (Target.L4T,), table) for row in _rows(table["jetson"])))


def image_for(target: Target, tag: str | None = None) -> Image:
    """Return the image of a tag, or the default one of a target.

    Raises:
        UsageError: There is no such tag for the target, or the target has no default.
    """
    offered = {image.tag: image for image in images() if target in image.targets}
    wanted = tag or _table()["defaults"].get(target.value)
    if wanted in offered:
        return offered[wanted]
    raise UsageError(f"no image {wanted!r} for {target.value} is known; there are: {', '.join(offered) or 'none'}")


def onnx_limit(onnxruntime: str) -> OnnxLimit | None:
    """Return the newest ONNX that a release of ONNX Runtime loads, None for one older than the table."""
    wanted = version_numbers(onnxruntime)[:2]
    known = [row for row in _rows(_table()["onnxruntime"]) if version_numbers(row["release"]) <= wanted]
    return OnnxLimit(known[-1]["ir"], known[-1]["opset"]) if known else None


def too_old_for(ir: int, opset: int) -> tuple[Image, ...]:
    """Return the images whose ONNX Runtime can't load a graph of this IR and operator set."""
    return tuple(
        image
        for image in images()
        if (limit := onnx_limit(image.onnxruntime)) is not None and (limit.ir < ir or limit.opset < opset)
    )


def check_opset(target: Target, opset: int, name: str) -> None:
    """Refuse a graph whose operator set is newer than what the target's default image reads.

    A trial can't show that for a GPU that isn't here. For a CPU it does, in the Triton that will serve.

    Args:
        target: The machine that will serve it.
        opset: Version of the standard operator set.
        name: Of the file, for the message.

    Raises:
        ModelError: It is newer.
    """
    if target is Target.CPU:
        return
    image = image_for(target)
    limit = onnx_limit(image.onnxruntime)
    if limit is not None and opset > limit.opset:
        raise ModelError(
            f"{name} is of opset {opset}; ONNX Runtime {image.onnxruntime} in {image.tag}, the Triton image for "
            f"--target {target.value}, reads up to {limit.opset}: export it with opset {limit.opset} or older"
        )


def version_numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: `10.7.0.post1` is `(10, 7, 0)`."""
    numbers: list[int] = []
    for part in version.split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(resources.files("converters").joinpath(TABLE_FILE).read_text(encoding="utf-8"))


def _rows(section: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(section["columns"], row, strict=True)) for row in section["rows"]]


def _image(row: dict[str, str], targets: tuple[Target, ...], table: dict[str, Any]) -> Image:
    default = next((Target(name) for name, tag in table["defaults"].items() if tag == row["tag"]), None)
    pulled = " " not in row["tag"]
    return Image(
        reference=f"{table['repository']}:{_image_tag(row['tag'])}" if pulled else "",
        targets=targets,
        inferred=tuple(field for field, value in row.items() if value.endswith(_INFERRED)),
        default_for=default,
        **{field: value.removesuffix(_INFERRED) for field, value in row.items()},
    )


def _image_tag(tag: str) -> str:
    """`26.08` is published as `26.08-py3`, `24.08-igpu` as `24.08-py3-igpu`."""
    release, dash, variant = tag.partition("-")
    return f"{release}-py3{dash}{variant}"
