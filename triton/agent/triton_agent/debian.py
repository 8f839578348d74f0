"""One library out of a Debian package, without root: downloaded with apt-get, unpacked with dpkg, nothing installed."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from triton_agent.errors import MissingError


def fetch_library(package: str, name: str, folder: Path) -> None:
    """Put the file `name` of a package of this distribution into a folder.

    Args:
        package: Debian's or Ubuntu's name of the package.
        name: File name of the library.
        folder: Where it goes.

    Raises:
        MissingError: This is no Debian, the package can't be downloaded, or it has no such file.
    """
    advice = f"{name} is missing: install the package {package}"
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise MissingError(f"{advice} (or use a Python built with --enable-shared)")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        done = subprocess.run(
            ["apt-get", "download", "-q", package], cwd=scratch, check=False, capture_output=True, text=True
        )
        archive = next(Path(scratch).glob("*.deb"), None)
        if archive is None:
            reason = (done.stderr.strip() or "it downloaded nothing").splitlines()[-1]
            raise MissingError(f"{advice} (apt-get download: {reason}; is `apt-get update` due?)")
        subprocess.run(["dpkg-deb", "-x", archive, scratch], check=True)
        found = next((path for path in Path(scratch).rglob(name) if path.is_file()), None)
        if found is None:
            raise MissingError(f"{package} of this distribution does not have {name}")
        found.resolve().replace(folder / name)
