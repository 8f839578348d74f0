"""Models that are free to use, as data: where each lies, what it must hash to. Fetched only when asked for.

An air-gapped site keeps the files in a folder or on a server of its own, under their names in the catalogue.
"""

import contextlib
import http.client
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO

from converters.errors import MissingError, ModelError, UsageError
from converters.progress import Steps

CATALOG_FILE = Path(__file__).parent / "catalog.toml"
TIMEOUT_S = 30.0
_PIECE = 1 << 20
_MIRRORS = "give a folder or an http:// or https:// address"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One model of the catalogue.

    Attributes:
        name: To ask for it by.
        address: Upstream, at a commit.
        file: Name in a mirror, and of the fetched file.
        bytes: Size.
        sha256: Hex digest.
        licence: SPDX identifier.
        family: That converts it.
        about: What it is, in one line.
    """

    name: str
    address: str
    file: str
    bytes: int
    sha256: str
    licence: str
    family: str
    about: str


def entries() -> dict[str, Entry]:
    """Return the catalogue by name."""
    table = tomllib.loads(CATALOG_FILE.read_text(encoding="utf-8"))
    return {name: Entry(name=name, **fields) for name, fields in table.items()}


def fetch(name: str, folder: Path, mirror: str | None, report: Callable[[str], None]) -> Path:
    """Bring a model into a folder and return its path; a file that is there and right is not fetched again.

    Args:
        name: In the catalogue.
        folder: To put it into.
        mirror: Folder or `http(s)://` address that holds the file instead of upstream.
        report: Told what begins.

    Raises:
        UsageError: The catalogue has no such model, or the mirror is neither.
        MissingError: The address doesn't answer.
        ModelError: What came is not the file of the catalogue; nothing was kept.
    """
    known = entries()
    if name not in known:
        raise UsageError(f"the catalogue has no {name!r}; there are: {', '.join(known)}")
    entry = known[name]
    target = folder / entry.file
    if target.is_file() and _sha256_of(target) == entry.sha256:
        return target
    report(f"fetch {entry.file} ({entry.bytes / 1e6:.1f} MB, {entry.licence}) from {mirror or entry.address}")
    part = target.with_name(f"{target.name}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _opened(entry, mirror) as source, part.open("wb") as file:
            _copy(source, file, entry, Steps(report, entry.bytes))
        part.replace(target)
    except OSError as error:
        raise ModelError(f"{target} can't be written ({error.strerror or error}); choose another --output") from error
    finally:
        part.unlink(missing_ok=True)
    return target


@contextlib.contextmanager
def _opened(entry: Entry, mirror: str | None) -> Generator[IO[bytes]]:
    if mirror is not None and "://" not in mirror:
        path = Path(mirror) / entry.file
        try:
            if not path.is_file():
                raise MissingError(f"{path} is not there; put {entry.file} from {entry.address} into {mirror}")
            file = path.open("rb")
        except OSError as error:
            raise MissingError(f"{path} can't be read ({error.strerror}); give another --mirror") from error
        with file:
            yield file
        return
    if mirror is not None and not mirror.startswith(("http://", "https://")):
        raise UsageError(f"{mirror!r} is no mirror; {_MIRRORS}")
    address = entry.address if mirror is None else f"{mirror.rstrip('/')}/{entry.file}"
    try:
        answer = urllib.request.urlopen(address, timeout=TIMEOUT_S)  # noqa: S310  # http(s) only, checked above
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError) as error:
        raise MissingError(
            f"{address} can't be fetched ({error}); without a network give --mirror DIR with {entry.file} in it"
        ) from error
    except ValueError as error:
        raise UsageError(f"{mirror!r} is no address ({error}); {_MIRRORS}") from error
    with answer:
        yield answer


def _copy(source: IO[bytes], target: IO[bytes], entry: Entry, told: Steps) -> None:
    """Copy no more than the file has, and refuse what is not it."""
    digest, size = sha256(), 0
    while size <= entry.bytes and (piece := _read(source, entry)):
        digest.update(piece)
        target.write(piece)
        size += len(piece)
        told(len(piece))
    if digest.hexdigest() != entry.sha256:
        raise ModelError(
            f"{entry.file} is not the file of the catalogue (its SHA-256 must be {entry.sha256}); nothing was kept, "
            "fetch it again or from elsewhere with --mirror"
        )


def _read(source: IO[bytes], entry: Entry) -> bytes:
    try:
        return source.read(_PIECE)
    except (OSError, http.client.HTTPException) as error:
        raise MissingError(f"{entry.file} stopped coming ({error}); try again") from error


def _sha256_of(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
