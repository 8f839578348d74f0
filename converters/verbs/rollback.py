"""`ruth-convert rollback NAME`: serve an earlier version again."""

import argparse
from dataclasses import asdict
from pathlib import Path

from converters.arguments import add_name, add_repository, add_server, positive
from converters.verbs.answer import Answer, Report

HELP = "serve an earlier version of a model again"


def add(sub: argparse.ArgumentParser) -> None:
    """Add its options."""
    add_name(sub)
    sub.add_argument("--to", type=positive, metavar="N", help="version (default: the one served before)")
    sub.add_argument("--dry-run", action="store_true", help="check the version and its files, and do no more")
    add_server(sub)
    add_repository(sub)


def run(parsed: argparse.Namespace, report: Report) -> Answer:
    """Check the version's files, switch to it, have a server load it if one is given."""
    from converters.live_server import LiveServer
    from converters.switch import roll_back

    repository: Path = parsed.repository
    report(f"roll {parsed.name} back")
    server = LiveServer(parsed.server) if parsed.server else None
    done = roll_back(repository, parsed.name, parsed.to, server, dry_run=parsed.dry_run)
    told = f"loaded by {done.server}" if done.server else "a running Triton takes it at its next load call"
    line = (
        f"{done.name}: version {done.version} instead of {done.before}, configured as when it was last served; "
        f"{'dry run, nothing was changed' if done.dry_run else told}"
    )
    return Answer(value=asdict(done), lines=[line])
