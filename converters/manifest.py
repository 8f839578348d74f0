"""`<name>/<version>/manifest.json`: where a published model came from, how it was made and how it was checked."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from converters.errors import ModelError
from converters.spec import ModelSpec, Serving, Source

MANIFEST_FILE = "manifest.json"
FORMAT = 1
_TOOLS = ("onnx", "onnxruntime", "numpy", "opencv-python-headless", "tritonclient")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Everything a manifest says.

    Attributes:
        name: Model name.
        version: Folder it lies in.
        created_at: Aware time of the publication.
        command: The command line, program first.
        converter: Program and version.
        source: Where the model came from.
        spec: What the gateway was told of it; None for a model outside the contract.
        serving: How Triton was told to run it.
        model_sha256: Hex digest of `model.onnx`.
        parity: Figures of the verification.
        pictures: What it was verified with.
        precision: What another precision than FP32 cost and gained; empty for FP32.
    """

    name: str
    version: int
    created_at: datetime
    command: Sequence[str]
    converter: str
    source: Source
    spec: ModelSpec | None
    serving: Serving
    model_sha256: str
    parity: Mapping[str, object]
    pictures: Mapping[str, object]
    precision: Mapping[str, object] = field(default_factory=dict[str, object])


def render(record: Record) -> str:
    """Return the manifest as JSON text.

    Raises:
        ValueError: `created_at` has no time zone.
    """
    if record.created_at.tzinfo is None:
        raise ValueError("created_at needs a time zone")
    fields = {
        "format": FORMAT,
        "name": record.name,
        "version": record.version,
        "created_at": record.created_at.isoformat(timespec="seconds"),
        "command": list(record.command),
        "converter": record.converter,
        "tools": {"python": platform.python_version(), **{tool: version(tool) for tool in _TOOLS}},
        "source": {**asdict(record.source), "details": dict(record.source.details)},
        "options": asdict(record.spec) if record.spec else {},
        "serving": asdict(record.serving),
        "model_sha256": record.model_sha256,
        "parity": dict(record.parity),
        "pictures": dict(record.pictures),
        "precision": dict(record.precision),
    }
    return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"


def read(version_folder: Path) -> dict[str, Any]:
    """Return the manifest of a published version.

    Raises:
        ModelError: There is none, or it can't be read.
    """
    path = version_folder / MANIFEST_FILE
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} can't be read ({error}); publish the model again with ruth-convert") from error
    if not isinstance(fields, dict):
        raise ModelError(f"{path} is not a manifest; publish the model again with ruth-convert")
    return fields
