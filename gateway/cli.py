"""`ruth-gateway`: parse, call, exit status. The only place that prints.

Exit status: 0 done, 1 what was given can't be used, 2 wrong usage, 3 something needed is missing.
"""

import argparse
import asyncio
import datetime as dt
import gc
import sys
import tomllib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from gateway.domain.definitions import ZonePresence
from gateway.domain.rule import RuleSettings
from gateway.errors import ConfigurationError, DatabaseError, InvalidInputError, RuntimeUnavailableError, RuthError
from gateway.masking import mask_secrets
from gateway.settings import Port, Settings, load_process_settings

if TYPE_CHECKING:
    from gateway.pipeline.outcome import OutcomeDiff, ReplayedViolation

DONE, UNUSABLE, MISSING = 0, 1, 3

_MISSING_ERRORS = (RuntimeUnavailableError, DatabaseError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    options = _parser().parse_args(arguments)
    verb: Callable[[argparse.Namespace, Settings], int] = options.verb
    try:
        settings = load_process_settings(options.config)
        return verb(options, settings)
    except RuthError as error:
        print(f"ruth-gateway: {mask_secrets(str(error))}", file=sys.stderr)
        return MISSING if isinstance(error, _MISSING_ERRORS) else UNUSABLE
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ruth-gateway", description="Cameras to frames to Triton to rules to violations to events."
    )
    parser.add_argument("--version", action="version", version=version("ruth-ai"))
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add(verbs, "serve", _serve, "run the service").add_argument("--port", type=_port, help="port of the API")
    _add_replay(_add(verbs, "replay", _replay, "run a recorded clip through Triton and the rules"))
    _add_migrate(_add(verbs, "migrate", _migrate, "bring the database's tables up to date, or back"))
    _add(verbs, "doctor", _doctor, "check what the service needs and say what to do")
    return parser


def _add(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",  # pyright: ignore[reportPrivateUsage] - its only name
    name: str,
    call: Callable[[argparse.Namespace, Settings], int],
    text: str,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML; the environment overrides them")
    parser.set_defaults(verb=call)
    return parser


def _add_migrate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--back-to", metavar="ID", help="undo the migrations after this one, the newest first, all of them or none"
    )
    parser.epilog = (
        "To go back to an older version: it names the ID when it refuses the database. End every gateway on the "
        "database, back the database up, run this verb of the newer version with --back-to, and start the older one. "
        "What the undone tables and columns hold is lost. A newer version's serve and doctor migrate forward again."
    )


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--video", type=Path, required=True, metavar="FILE", help="the clip")
    parser.add_argument("--model", required=True, metavar="NAME", help="a model that Triton has loaded")
    parser.add_argument("--triton", metavar="HOST:PORT", help="Triton's gRPC address (default: AI_RUNTIME_URL)")
    parser.add_argument(
        "--rules",
        type=Path,
        metavar="FILE",
        help="rules in TOML (default: any person anywhere in the picture for 1 s, gap 2 s)",
    )
    parser.add_argument("--fps", type=_fps, metavar="N", help="frames per second to look at (default: every frame)")
    parser.add_argument(
        "--recorded",
        type=Path,
        metavar="FILE",
        help="compare with these violations: what replay --json printed, or an answer of GET /api/v1/violations",
    )
    parser.add_argument(
        "--clip-started-at",
        type=_time,
        metavar="TIME",
        help="when the clip's first frame was taken (RFC 3339), for schedules and for violations with times of day "
        "(default: what the clip says, as those recorded by the gateway do)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def _time(text: str) -> dt.datetime:
    try:
        time: dt.datetime = msgspec.convert(text, Annotated[dt.datetime, msgspec.Meta(tz=True)])
    except msgspec.ValidationError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time as 2026-01-31T08:30:00Z") from None
    return time


def _fps(text: str) -> float:
    try:
        fps: float = msgspec.convert(text, Annotated[float, msgspec.Meta(gt=0, le=1000)], strict=False)
    except msgspec.ValidationError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0, up to 1000") from None
    return fps


def _port(text: str) -> int:
    try:
        port: int = msgspec.convert(text, Port, strict=False)
    except msgspec.ValidationError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 1 to 65535") from None
    return port


def _serve(options: argparse.Namespace, settings: Settings) -> int:
    # Nothing that is imported is garbage: looking for some would cost a sixth of the start, and each later search time.
    gc.disable()
    import uvloop

    from gateway.allocator import limit_arenas
    from gateway.app import serve
    from gateway.logs import configure_logging

    gc.freeze()
    gc.enable()
    if options.port is not None:
        settings = msgspec.structs.replace(settings, port=options.port)
    configure_logging(settings.log_level, settings.log_format)
    limit_arenas(settings.malloc_arenas)
    return uvloop.run(serve(settings))


def _replay(options: argparse.Namespace, settings: Settings) -> int:
    from gateway.domain.clock import SystemClock
    from gateway.evidence import first_picture_at
    from gateway.pipeline.outcome import OutcomeDiff, diff
    from gateway.pipeline.replay import ReplayReport, replay
    from gateway.sources.file import FileSource
    from gateway.sources.urls import Pace

    rules = _read_rules(options.rules)
    clock = SystemClock()
    source = FileSource(options.video, loop=False, pace=Pace.MAX, clock=clock)
    triton = options.triton or settings.runtime_url
    started_at = options.clip_started_at or first_picture_at(options.video)
    recorded = _read_recorded(options.recorded, started_at)
    report: ReplayReport = asyncio.run(replay(source, rules, options.model, triton, options.fps, clock, started_at))
    if recorded is not None:
        definitions = {rule.name: rule.definition for rule in rules}
        report.diff = diff(recorded, report.violations, report.clip_s, definitions)
    if options.json:
        print(msgspec.json.encode(report).decode())
        return DONE
    print(f"{report.frames_decoded} frames decoded, {report.frames_inferred} inferred")
    if report.schedules_ignored:
        names = ", ".join(report.schedules_ignored)
        print(f"taken to hold all the time, as the clip doesn't tell its time: {names}; say it with --clip-started-at")
    for violation in report.violations:
        print(f"  {_line(violation)}")
    count = len(report.violations)
    print(f"{count} violation{'' if count == 1 else 's'}")
    if isinstance(report.diff, OutcomeDiff):
        _print_diff(report.diff)
    return DONE


def _line(violation: "ReplayedViolation") -> str:
    return (
        f"{violation.started_at_s:7.2f} to {violation.ended_at_s:9.2f} s  {violation.type}  "
        f"{violation.rule}: {violation.label} {violation.score:.2f}"
    )


def _print_diff(outcome: "OutcomeDiff") -> None:
    for sign, violations in (("-", outcome.gone), ("+", outcome.new)):
        for violation in violations:
            print(f"{sign} {_line(violation)}")
    for moved in outcome.moved:
        print(f"~ {_line(moved.recorded)}")
        print(f"  {_line(moved.replayed)}")
    print(
        f"against the record: {outcome.same} the same, {len(outcome.moved)} moved, "
        f"{len(outcome.gone)} gone, {len(outcome.new)} new"
    )


def _read_recorded(path: Path | None, clip_started_at: dt.datetime | None) -> "list[ReplayedViolation] | None":
    from gateway.pipeline.outcome import read_recorded

    if path is None:
        return None
    try:
        return read_recorded(path.read_bytes(), clip_started_at)
    except OSError as error:
        raise ConfigurationError(f"the recorded violations {path} can't be read: {error.strerror}") from error


def _read_rules(path: Path | None) -> list[RuleSettings]:
    if path is None:
        return [RuleSettings(name="a person in the picture", definition=ZonePresence())]
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        rules = msgspec.convert(content.get("rules"), list[RuleSettings])
    except OSError as error:
        raise ConfigurationError(f"the rules {path} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"the rules {path} aren't TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"the rules {path} can't be used: {error}; give a list of [[rules]]") from error
    return [rule for rule in rules if rule.enabled]


def _migrate(options: argparse.Namespace, settings: Settings) -> int:
    ran = asyncio.run(_migrate_database(settings, options.back_to))
    done, nothing = ("migrated", "up to date") if options.back_to is None else ("undone", "nothing to undo")
    print("\n".join(f"{done}: {migration}" for migration in ran) or nothing)
    return DONE


async def _migrate_database(settings: Settings, back_to: str | None) -> list[str]:
    from gateway.store.engine import make_engine
    from gateway.store.migrate import migrate, migrate_back

    engine = make_engine(settings.database_url, settings.data_dir, pool_size=1)
    try:
        return await (migrate(engine) if back_to is None else migrate_back(engine, back_to))
    finally:
        await engine.close()  # the threads of its connections would keep the process alive


def _doctor(_: argparse.Namespace, settings: Settings) -> int:
    from gateway.doctor import examine

    findings = asyncio.run(examine(settings))
    for finding in findings:
        print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.what}: {mask_secrets(finding.detail)}")
    return DONE if all(finding.ok for finding in findings) else MISSING
