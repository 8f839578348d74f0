"""Ground truth in COCO's JSON, which may come from anywhere: read, checked, and nothing believed that isn't needed.

Format: https://cocodataset.org/#format-data, object detection.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.errors import ModelError

MAX_BYTES = 2**29


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One object of the ground truth.

    Attributes:
        category: Its name.
        xywh: Left, top, width, height in pixels of the picture.
        area: In pixels; decides what counts as small, medium or large.
        crowd: Whether it stands for a group, which neither counts as missed nor makes a hit wrong.
    """

    category: str
    xywh: tuple[float, float, float, float]
    area: float
    crowd: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture and all that is in it.

    Attributes:
        file_name: Relative, inside the folder of pictures.
        boxes: May be empty: a picture of nothing tells about false alarms.
    """

    file_name: str
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundTruth:
    """What is to be found where.

    Attributes:
        categories: Names, as numbered in the file.
        pictures: In the file's order.
    """

    categories: tuple[str, ...]
    pictures: tuple[Picture, ...]


def read_annotations(path: Path) -> GroundTruth:
    """Read a COCO file of boxes.

    Raises:
        ModelError: It can't be read, or says something that can't be; the message names the entry.
    """
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path} is no file of at most {MAX_BYTES >> 20} MB; give COCO annotations as JSON")
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} is not COCO's JSON ({error}); give one with images, annotations, categories"
        ) from error
    try:
        return _ground_truth(value)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _ground_truth(value: object) -> GroundTruth:
    top = _mapping(value, "the file")
    names = {
        _id(entry, "categories", n): _text(entry, "name", "categories", n) for n, entry in _list(top, "categories")
    }
    files = {_id(entry, "images", n): _file_name(entry, n) for n, entry in _list(top, "images")}
    if len(set(names.values())) != len(names) or not names or not files:
        raise ModelError("categories need names that differ, and there must be an image")
    boxes: dict[int, list[Box]] = {image: [] for image in files}
    for number, entry in _list(top, "annotations"):
        image, category = entry.get("image_id"), entry.get("category_id")
        if not isinstance(image, int) or not isinstance(category, int) or image not in boxes or category not in names:
            raise ModelError(f"annotations[{number}] speaks of image {image!r}, category {category!r}: not listed")
        boxes[image].append(_box(entry, names[category], number))
    pictures = (Picture(file_name=file, boxes=tuple(boxes[image])) for image, file in files.items())
    return GroundTruth(categories=tuple(names[key] for key in sorted(names)), pictures=tuple(pictures))


def _box(entry: Mapping[str, Any], category: str, number: int) -> Box:
    place = f"annotations[{number}]"
    xywh = entry.get("bbox")
    if not isinstance(xywh, Sequence) or len(xywh) != 4 or not all(map(_is_size, xywh)) or min(xywh[2:]) < 0:
        raise ModelError(f"{place}.bbox is {xywh!r}, not [left, top, width, height] in pixels")
    left, top, width, height = map(float, xywh)
    area = entry.get("area", width * height)
    if not _is_size(area) or area < 0:
        raise ModelError(f"{place}.area is {area!r}, not a number of pixels")
    return Box(
        category=category, xywh=(left, top, width, height), area=float(area), crowd=bool(entry.get("iscrowd", 0))
    )


def _is_size(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < 1e6


def _mapping(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ModelError(f"{place} is not a JSON object")
    return value


def _list(top: Mapping[str, Any], key: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    entries = top.get(key)
    if not isinstance(entries, list):
        raise ModelError(f"{key} is not a list; it takes images, annotations and categories")
    for number, entry in enumerate(entries):
        yield number, _mapping(entry, f"{key}[{number}]")


def _id(entry: Mapping[str, Any], key: str, number: int) -> int:
    value = entry.get("id")
    if not isinstance(value, int) or isinstance(value, bool):
        raise ModelError(f"{key}[{number}].id is {value!r}, not a number")
    return value


def _text(entry: Mapping[str, Any], field: str, key: str, number: int) -> str:
    value = entry.get(field)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ModelError(f"{key}[{number}].{field} is {value!r}, not a name")
    return value


def _file_name(entry: Mapping[str, Any], number: int) -> str:
    name = _text(entry, "file_name", "images", number)
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ModelError(f"images[{number}].file_name is {name!r}, outside the folder of pictures")
    return name
