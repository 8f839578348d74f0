"""`ruth-convert diff NAME A B`: what two versions differ in."""

import argparse
from dataclasses import asdict

from converters.arguments import add_name, add_repository, positive
from converters.verbs.answer import Answer, Report

HELP = "say what two versions of a model differ in"


def add(sub: argparse.ArgumentParser) -> None:
    """Add its options."""
    add_name(sub)
    sub.add_argument("first", type=positive, metavar="A", help="version")
    sub.add_argument("second", type=positive, metavar="B", help="version to compare it with")
    add_repository(sub)


def run(parsed: argparse.Namespace, _report: Report) -> Answer:
    """Compare manifest, configuration and files."""
    from converters.versions import differences

    changes = differences(parsed.repository, parsed.name, parsed.first, parsed.second)
    value = {
        "name": parsed.name,
        "first": parsed.first,
        "second": parsed.second,
        "changes": [asdict(change) for change in changes],
    }
    return Answer(value=value, lines=[str(change) for change in changes] or ["no difference"])
