"""TensorRT engines that are taken for models: told by their first bytes, and what Ultralytics wrote in front of one.

`yolo export format=engine` writes four bytes of length (little-endian), that much JSON, then the serialised engine.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_HEADER = 64 * 1024
_ENGINE_MAGIC = b"ftrt"
_LENGTH = 4
_SHOWN = ("description", "task", "imgsz", "batch", "stride", "names", "version", "license")
_MAX_SHOWN = 300


@dataclass(frozen=True, slots=True)
class EngineHeader:
    """What is known of an engine without TensorRT.

    Attributes:
        fields: Of Ultralytics' header; empty for an engine without one.
    """

    fields: Mapping[str, object]

    def lines(self) -> list[str]:
        """Return the fields that say what it is, each cut to a length that can be read."""
        return [f"{name:<11} {str(self.fields[name])[:_MAX_SHOWN]}" for name in _SHOWN if name in self.fields]

    @property
    def refusal(self) -> str:
        """Why it is no model to convert, and what to do."""
        task = str(self.fields.get("task", ""))[:40]
        made = f"a TensorRT engine that Ultralytics exported{f' for {task}' if task else ''}" if self.fields else ""
        return (
            f"{made or 'a TensorRT engine'}: it runs only where TensorRT and GPU are those that built it; export the "
            "same weights as ONNX (format=onnx), convert that, and build plans with ruth-convert tensorrt"
        )


def header_of(data: bytes) -> EngineHeader | None:
    """Read the head of a file's bytes; None where it is no engine."""
    if data[:_LENGTH] == _ENGINE_MAGIC:
        return EngineHeader({})
    length = int.from_bytes(data[:_LENGTH], "little")
    text = data[_LENGTH : _LENGTH + length] if 2 <= length <= MAX_HEADER else b""
    if not (text.startswith(b"{") and len(text) == length):
        return None
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return EngineHeader(fields) if isinstance(fields, dict) and "names" in fields and "stride" in fields else None


def read_header(path: Path) -> EngineHeader | None:
    """Read the head of a file; None where it is no engine or no file that can be read."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            return header_of(file.read(_LENGTH + MAX_HEADER))
    except OSError:
        return None
