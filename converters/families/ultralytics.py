"""What Ultralytics' exporter writes into `metadata_props` beside a graph.

The values are text that anybody may have put there: they are read as literals of bounded size, never evaluated, and
what can't be read counts as absent.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from converters.families.coco import COCO_17_KEYPOINTS
from converters.families.family import Misfit

MAX_TEXT = 64 * 1024
"""Characters of a value that is looked at."""
MAX_NAMES = 10_000
MAX_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The exporter's own words about a model.

    Attributes:
        names: Label by class index; None where absent.
        task: `detect`, `pose`, `segment`, `classify`, `obb`; empty where absent.
        imgsz: Height and width in pixels; None where absent.
        kpt_shape: Keypoints, and values of each (2 or 3); None where absent.
        stride: Largest stride in pixels; None where absent.
    """

    names: Mapping[int, str] | None = None
    task: str = ""
    imgsz: tuple[int, int] | None = None
    kpt_shape: tuple[int, int] | None = None
    stride: int | None = None

    @property
    def present(self) -> bool:
        """Whether the file says anything of this kind."""
        return self.names is not None and self.stride is not None


def metadata_of(model: onnx.ModelProto) -> Metadata:
    """Read a model's metadata."""
    return metadata_from({entry.key: entry.value for entry in model.metadata_props})


def metadata_from(values: Mapping[str, str]) -> Metadata:
    """Read metadata from texts by name, as the exporter writes them."""
    stride = _literal(values.get("stride", ""))
    return Metadata(
        names=_names(_literal(values.get("names", ""))),
        task=values.get("task", "")[:MAX_NAME],
        imgsz=_pair(_literal(values.get("imgsz", ""))),
        kpt_shape=_pair(_literal(values.get("kpt_shape", ""))),
        stride=stride if isinstance(stride, int) else None,
    )


def labels_of(metadata: Metadata) -> tuple[str, ...] | None:
    """Return the names in the order of their classes; None where absent."""
    return tuple(metadata.names[key] for key in sorted(metadata.names)) if metadata.names else None


def check_task(metadata: Metadata, *tasks: str) -> None:
    """Refuse a network whose metadata names another task.

    Raises:
        Misfit: It does.
    """
    if metadata.task and metadata.task not in tasks:
        raise Misfit(f"its metadata says that its task is {metadata.task}, not {' or '.join(tasks)}")


def check_names(metadata: Metadata, classes: int) -> None:
    """Refuse a network whose metadata names more or fewer classes than were read off its outputs.

    Raises:
        Misfit: It does: what was taken for scores is something else.
    """
    if metadata.names is not None and len(metadata.names) != classes:
        raise Misfit(f"its metadata names {len(metadata.names)} classes, where its output would have {classes}")


def check_keypoints(metadata: Metadata, columns: int) -> None:
    """Refuse a pose whose metadata tells other keypoints than of x, y and score.

    Args:
        metadata: The exporter's words.
        columns: What the output has for keypoints.

    Raises:
        Misfit: It does.
    """
    if metadata.kpt_shape is None:
        return
    count, values = metadata.kpt_shape
    if values != 3:
        raise Misfit(f"its metadata tells {count} keypoints of {values} values; only those of x, y and score are read")
    if columns != 3 * count:
        raise Misfit(f"its metadata tells {count} keypoints, where its output has {columns} columns for them")


def keypoint_names(count: int) -> tuple[str, ...]:
    """Return COCO's names for 17 keypoints, else numbered ones."""
    return (
        COCO_17_KEYPOINTS if count == len(COCO_17_KEYPOINTS) else tuple(f"keypoint_{index}" for index in range(count))
    )


def _literal(text: str) -> object:
    """Read a Python literal of bounded size; None where there is none."""
    if not text or len(text) > MAX_TEXT:
        return None
    try:
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return value


def _names(value: object) -> Mapping[int, str] | None:
    entries = dict(enumerate(value)) if isinstance(value, list | tuple) else value
    if not isinstance(entries, dict) or not 0 < len(entries) <= MAX_NAMES:
        return None
    named = {index: name for index, name in entries.items() if isinstance(index, int) and _is_name(name)}
    return named if len(named) == len(entries) else None


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable()


def _pair(value: object) -> tuple[int, int] | None:
    match value:
        case [int(first), int(second)] if first > 0 and second > 0:
            return first, second
        case int(side) if side > 0:
            return side, side
        case _:
            return None
