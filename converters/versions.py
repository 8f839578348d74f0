"""What two versions of a published model differ in: manifest, configuration, files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters import integrity, manifest, triton_config
from converters.repository import CONFIG_FILE, Repository

Plain = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value that differs.

    Attributes:
        where: `manifest.json`, `config.pbtxt` or `files`.
        field: Dotted path in it, or file name.
        before: In the first version; None where it is absent.
        after: In the second.
    """

    where: str
    field: str
    before: Plain
    after: Plain

    def __str__(self) -> str:
        return f"{self.where}: {self.field}: {_shown(self.before)} → {_shown(self.after)}"


def differences(root: Path, name: str, first: int, second: int) -> list[Change]:
    """Return what differs between two versions, by place and field.

    A version that was never served has no configuration; then none is compared.

    Raises:
        ModelError: There is no such version, or a manifest or configuration can't be read.
    """
    repository = Repository(root)
    configs = [repository.config_of(name, version) for version in (first, second)]
    folders = [root / name / str(version) for version in (first, second)]
    changes = _changed(manifest.MANIFEST_FILE, *(dict(_flat(manifest.read(folder))) for folder in folders))
    if None not in configs:
        parsed = [dict(_flat(triton_config.parse(config or ""))) for config in configs]
        changes += _changed(CONFIG_FILE, *parsed)
    return changes + _changed("files", *(_hashes(folder) for folder in folders))


def _hashes(folder: Path) -> dict[str, Plain]:
    mine = {manifest.MANIFEST_FILE, CONFIG_FILE}
    return {
        path.name: integrity.sha256_of(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name not in mine
    }


def _changed(where: str, before: Mapping[str, Plain], after: Mapping[str, Plain]) -> list[Change]:
    return [
        Change(where=where, field=key, before=before.get(key), after=after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Plain]]:  # noqa: ANN401  # JSON
    """Yield the leaves of nested mappings and sequences with their dotted paths."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _flat(below, f"{path}.{key}" if path else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, below in enumerate(value):
            yield from _flat(below, f"{path}[{index}]")
    else:
        yield path, value


def _shown(value: Plain) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
