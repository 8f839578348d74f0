"""`ruth-convert catalog [NAME]`: freely licensed models; fetches one when it is named."""

import argparse
from dataclasses import asdict
from pathlib import Path

from converters.verbs.answer import Answer, Report

HELP = "list freely licensed models, or fetch the one that is named"


def add(sub: argparse.ArgumentParser) -> None:
    """Add its options."""
    sub.add_argument("name", metavar="NAME", nargs="?", help="fetch this one; nothing is fetched without it")
    sub.add_argument("--output", type=Path, default=Path(), metavar="DIR", help="where to put it (default: here)")
    sub.add_argument("--mirror", metavar="DIR_OR_URL", help="folder or address that holds the files instead")


def run(parsed: argparse.Namespace, report: Report) -> Answer:
    """List, or fetch and check."""
    from converters.catalog import entries, fetch

    known = entries()
    if parsed.name is None:
        lines = [
            f"{entry.name:<14} {entry.bytes / 1e6:6.1f} MB  {entry.licence:<14} {entry.about}"
            for entry in known.values()
        ]
        return Answer(value={"models": [asdict(entry) for entry in known.values()]}, lines=lines)
    path = fetch(parsed.name, parsed.output, parsed.mirror, report)
    entry = known[parsed.name]
    following = f"ruth-convert onnx {path} --name {entry.name} --licence {entry.licence}"
    return Answer(
        value={"file": str(path), "sha256": entry.sha256, "licence": entry.licence, "family": entry.family},
        lines=[f"{path}: {entry.about}, {entry.licence}; convert it with", f"  {following}"],
    )
