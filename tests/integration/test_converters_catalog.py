"""`ruth-convert catalog`: data that is complete, and files that are what it says or nothing."""

import errno
import http.server
import json
import re
import shutil
import threading
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from converters.catalog import entries
from converters.cli import main
from converters.families import FAMILIES


@pytest.fixture
def catalog(capsys):
    def run(*arguments):
        status = main(["catalog", *map(str, arguments), "--json"])
        return status, json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def mirror(data_dir, tmp_path):
    """A folder with the files of the catalogue under their names."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    shutil.copyfile(data_dir / "models/yolox_nano_416.onnx", folder / "yolox_nano.onnx")
    shutil.copyfile(data_dir / "models/fastestdet_coco_352.onnx", folder / "FastestDet.onnx")
    return folder


@pytest.fixture
def web(mirror):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=mirror)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_every_entry_is_pinned_licensed_and_convertible(catalog):
    status, result = catalog()
    assert status == 0
    assert len(result["models"]) >= 2
    for model in result["models"]:
        assert re.fullmatch(r"[0-9a-f]{64}", model["sha256"])
        assert re.search(r"/[0-9a-f]{40}/", model["address"])
        assert model["address"].startswith("https://")
        assert model["family"] in FAMILIES
        assert model["licence"]


@pytest.mark.parametrize("name", sorted(entries()))
def test_a_model_comes_from_a_folder_and_is_what_the_catalogue_says(catalog, mirror, tmp_path, name):
    status, result = catalog(name, "--mirror", mirror, "--output", tmp_path / "models")
    assert status == 0
    (fetched,) = (tmp_path / "models").iterdir()
    assert sha256(fetched.read_bytes()).hexdigest() == result["sha256"] == entries()[name].sha256
    (mirror / fetched.name).unlink()
    assert catalog(name, "--mirror", mirror, "--output", tmp_path / "models")[0] == 0


def test_a_model_comes_from_a_web_server(catalog, web, tmp_path):
    assert catalog("fastestdet", "--mirror", web, "--output", tmp_path / "models")[0] == 0


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: data[:0], bytes.swapcase]
)
def test_a_file_that_is_not_the_right_one_is_refused_and_not_kept(catalog, mirror, tmp_path, change):
    path = mirror / "FastestDet.onnx"
    path.write_bytes(change(path.read_bytes()))
    status, result = catalog("fastestdet", "--mirror", mirror, "--output", tmp_path / "models")
    assert status == 1
    assert "is not the file of the catalogue" in result["error"]
    assert list((tmp_path / "models").iterdir()) == []


def test_what_is_not_there_says_so(catalog, mirror, web, tmp_path):
    (mirror / "FastestDet.onnx").unlink()
    for place in (mirror, web, "http://127.0.0.1:9"):
        assert catalog("fastestdet", "--mirror", place, "--output", tmp_path)[0] == 3
    assert catalog("fastestdet", "--mirror", "ftp://127.0.0.1", "--output", tmp_path)[0] == 2
    assert catalog("fastestdet", "--mirror", "http://[bad", "--output", tmp_path)[0] == 2
    assert catalog("yolo9000", "--output", tmp_path)[0] == 2


def test_a_mirror_whose_file_can_not_be_read_is_not_taken_for_a_full_disk(catalog, mirror, tmp_path, monkeypatch):
    opened = Path.open

    def refused(path, *arguments, **options):
        if path.parent == mirror:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)
    status, result = catalog("fastestdet", "--mirror", mirror, "--output", tmp_path / "models")
    assert (status, "FastestDet.onnx can't be read (Permission denied)" in result["error"]) == (3, True), result
