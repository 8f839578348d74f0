"""From one version to another and back: rollback, and a running server's load, which decides whether it stays."""

from dataclasses import dataclass
from pathlib import Path

from converters import integrity, triton_config
from converters.errors import MissingError, ModelError, UsageError
from converters.live_server import LiveServer
from converters.repository import Repository
from converters.stage import Stage, staged


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """What a rollback did.

    Attributes:
        name: Model.
        version: Served from now on.
        before: Served until now.
        server: Where it was loaded; None where no server was given.
        dry_run: Whether nothing was done: it would be served.
    """

    name: str
    version: int
    before: int
    server: str | None
    dry_run: bool = False


def roll_back(root: Path, name: str, to: int | None, server: LiveServer | None, *, dry_run: bool = False) -> Switched:
    """Serve another version of a model by the rename of its configuration.

    Args:
        root: Model repository.
        name: Model.
        to: Version; None takes the highest below the served one that was served before.
        server: Has it loaded there; if that fails, the version before stays.
        dry_run: Check all that can be checked, and leave it at that.

    Raises:
        ModelError: There is no such version, its files were changed, or the server can't serve it.
        UsageError: The version is served already.
        MissingError: The server doesn't answer.
    """
    repository = Repository(root)
    before = repository.served_version(name)
    if server is not None:
        server.check()
    if dry_run:
        version = _target(repository, name, before, to)
        _kept_config(repository, name, version)
        return Switched(name=name, version=version, before=before, server=None, dry_run=True)
    with staged(repository, lambda: None) as stage:
        version = _target(repository, name, before, to)
        config = _kept_config(repository, name, version)
        previous = repository.config(name)
        stage.serve(name, config)
        if server is not None:
            load_or_restore(stage, name, version, previous, server)
    return Switched(name=name, version=version, before=before, server=server.grpc_url if server else None)


def load_or_restore(stage: Stage, name: str, version: int, previous: str | None, server: LiveServer) -> None:
    """Have a server load what was just switched to; on failure both serve again what they did.

    Args:
        stage: Of the repository, under its lock.
        name: Model.
        version: That is served now.
        previous: Text of the config.pbtxt before; None where the model is new: it is for the caller to withdraw then.
        server: Of this repository.

    Raises:
        ModelError: The server can't serve it; the message says what is served instead.
    """
    try:
        server.load(name, version)
    except (ModelError, MissingError, KeyboardInterrupt) as error:
        served = _restore(stage, name, previous, server)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise ModelError(f"{error}\nrolled back: {served}") from error


def _restore(stage: Stage, name: str, previous: str | None, server: LiveServer) -> str:
    if previous is None:
        try:
            server.unload(name)
        except (ModelError, MissingError) as error:
            return f"{name} is not published, but the server may serve it still ({error})"
        return f"{name} is not published"
    stage.serve(name, previous)
    old = stage.repository.served_version(name)
    try:
        server.load(name, old)
    except (ModelError, MissingError) as error:
        return f"{name} version {old} is configured again, but the server can't load it either ({error})"
    return f"{name} version {old} is served"


def _target(repository: Repository, name: str, served: int, to: int | None) -> int:
    if to == served:
        raise UsageError(f"{name} version {to} is the served one; there are: {repository.versions(name)}")
    if to is not None:
        return to
    below = [version for version in repository.versions(name) if version < served]
    kept = [version for version in below if repository.config_of(name, version) is not None]
    if not kept:
        raise ModelError(
            f"{name} has no version below {served} that was served; --to takes one of {repository.versions(name)}"
        )
    return kept[-1]


def _kept_config(repository: Repository, name: str, version: int) -> str:
    """Return the configuration that a version was last served with, once its files are known to be unchanged."""
    config = repository.config_of(name, version)
    if config is None or version not in triton_config.served_versions(triton_config.parse(config)):
        raise ModelError(f"{name} version {version} was never served, or is not of this program; convert it again")
    integrity.check(repository.root / name / str(version))
    return config
