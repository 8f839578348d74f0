"""The model repository as the agent reads it before tritonserver does: names, configurations, versions."""

import re
from pathlib import Path

from triton_agent.settings import Serving

COMMENT = re.compile(r"#.*")
_POLICY = r"\bversion_policy\s*:?\s*\{\s*"
SPECIFIC = re.compile(_POLICY + r"specific\s*:?\s*\{([^}]*)\}")
LATEST = re.compile(_POLICY + r"latest\s*:?\s*\{\s*num_versions\s*:\s*(\d+)")
ALL = re.compile(_POLICY + r"all\b")


def wanted_models(serving: Serving) -> list[Path]:
    """Folders of the models that are to be loaded to begin with, by name."""
    models = [path for path in serving.model_repository.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted(path for path in models if not serving.load_models or path.name in serving.load_models)


def config_text(model: Path, config_name: str | None) -> str:
    """The configuration that tritonserver will read, without comments; empty where there is none to read.

    Args:
        model: Folder of the model.
        config_name: As given by `--model-config-name`; a model without that variant has its `config.pbtxt` read.
    """
    named = model / "configs" / f"{config_name}.pbtxt"
    path = named if config_name and named.is_file() else model / "config.pbtxt"
    try:
        return COMMENT.sub("", path.read_text(encoding="utf-8", errors="replace"))
    except OSError:  # none, or none for this user: Triton will say so
        return ""


def served_versions(model: Path, config: str) -> list[Path]:
    """Folders of the versions that a configuration's `version_policy` asks for: the latest, where it says nothing.

    None of a model whose folder can't be looked into: Triton will say so.
    """
    try:
        folders = {int(path.name): path for path in model.iterdir() if path.name.isdecimal() and path.is_dir()}
    except OSError:
        return []
    newest_first = sorted(folders, reverse=True)
    if specific := SPECIFIC.search(config):
        named = {int(number) for number in re.findall(r"\d+", specific[1])}
    elif ALL.search(config):
        named = set(folders)
    else:
        latest = LATEST.search(config)
        named = set(newest_first[: int(latest[1]) if latest else 1])
    return [folders[number] for number in sorted(named & folders.keys())]
