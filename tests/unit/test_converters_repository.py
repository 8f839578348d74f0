"""Staging, publishing and versions, on real folders."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from converters import triton_config
from converters.errors import ModelError
from converters.live_server import LiveServer
from converters.publish import switch_to
from converters.repository import Repository, digest
from converters.spec import Letterbox, ModelSpec, Serving, Target, Task
from converters.stage import Content, staged
from converters.switch import roll_back

SPEC = ModelSpec(
    task=Task.DETECT,
    height=64,
    width=64,
    letterbox=Letterbox.CENTER,
    pad_luma=16,
    labels=("x",),
    score_threshold=0.3,
    nms_iou=0.45,
)


def content(name, version, model, target=Target.CPU):
    identity = triton_config.Identity(name=name, version=version, source_sha256="", model_sha256=digest(model))
    config = triton_config.render(SPEC, Serving(target=target, instances=1, threads=1), identity)
    return Content(model=model, config=config, manifest=json.dumps({"model_sha256": digest(model)}))


def put(root, name, model, target=Target.CPU):
    with staged(Repository(root), lambda: None) as stage:
        version = stage.next_version(name)
        stage.write(name, version, content(name, version, model, target))
        return stage.publish(name, version)


def interrupted(root):
    with staged(Repository(root), lambda: None) as stage:
        stage.write("people", 1, content("people", 1, b"one"))
        raise KeyboardInterrupt


def served(root, name):
    """The served version's model, checked against the configuration that names it; None for no model."""
    repository = Repository(root)
    if repository.config(name) is None:
        return None
    model = repository.model_bytes(name, repository.served_version(name))
    values = triton_config.parameters_of(triton_config.parse(repository.config(name)))
    assert values["ruth.model_sha256"] == digest(model)
    return model


def test_a_new_model_appears_whole_and_the_stage_is_gone(tmp_path):
    folder = put(tmp_path / "models", "people", b"one")
    assert folder == tmp_path / "models/people/1"
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "model.onnx"]
    assert served(tmp_path / "models", "people") == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_a_second_version_takes_over_and_the_first_stays(tmp_path):
    put(tmp_path / "models", "people", b"one")
    put(tmp_path / "models", "people", b"two")
    repository = Repository(tmp_path / "models")
    assert repository.versions("people") == [1, 2]
    assert served(tmp_path / "models", "people") == b"two"
    assert repository.model_bytes("people", 1) == b"one"


def test_triton_never_sees_the_stage(tmp_path):
    repository = Repository(tmp_path / "models")
    with staged(repository, lambda: None) as stage:
        stage.write("people", 1, content("people", 1, b"one"))
        assert repository.names() == []
        assert [path for path in repository.root.iterdir() if path.is_dir()] == []
        assert stage.root.stat().st_dev == repository.root.stat().st_dev


def test_a_failure_before_publishing_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "models")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_of_the_user_is_left_as_it_was(tmp_path):
    (tmp_path / "models").mkdir()
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "models")
    assert list(tmp_path.rglob("*")) == [tmp_path / "models"]


def test_a_folder_that_was_there_is_left_as_it_was(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/README").write_text("mine")
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "models")
    assert (tmp_path / "models/README").read_text() == "mine"


def test_folders_above_that_were_made_for_nothing_go_too(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "site/camera/models")
    assert list(tmp_path.iterdir()) == []


def test_who_waits_for_a_folder_that_is_removed_gets_one_of_its_own(tmp_path):
    done = []

    def publisher():
        put(tmp_path / "models", "people", b"two")
        done.append(True)

    with staged(Repository(tmp_path / "models"), lambda: None):
        other = threading.Thread(target=publisher)
        other.start()
        time.sleep(0.3)
        assert not done
    other.join(timeout=30)
    assert served(tmp_path / "models", "people") == b"two"


def setting(config, threads):
    values = triton_config.parse(config)
    values["parameters"]["intra_op_thread_count"] = {"string_value": str(threads)}
    return triton_config.text_of(values)


def test_a_rollback_brings_back_the_configuration_that_a_version_was_last_served_with(tmp_path):
    root, repository = tmp_path / "models", Repository(tmp_path / "models")
    put(root, "people", b"one")
    tuned = setting(repository.config("people"), 3)
    with staged(repository, lambda: None) as stage:
        stage.serve("people", tuned)
    assert not (root / "people/1/config.pbtxt").exists()
    put(root, "people", b"two")
    assert (root / "people/1/config.pbtxt").read_text() == tuned
    roll_back(root, "people", None, None)
    assert repository.config("people") == tuned
    assert not (root / "people/1/config.pbtxt").exists()
    assert (root / "people/2/config.pbtxt").exists()


def test_a_version_that_was_never_served_is_not_what_a_rollback_means(tmp_path):
    root = tmp_path / "models"
    for model in (b"one", b"two", b"three"):
        put(root, "people", model)
    (root / "people/2/config.pbtxt").unlink()  # as a publisher that was killed leaves a version
    assert roll_back(root, "people", None, None).version == 1
    with pytest.raises(ModelError, match="no version below 1 that was served"):
        roll_back(root, "people", None, None)


def test_a_cpu_follows_every_version_of_a_model_for_gpus(tmp_path):
    root = tmp_path / "models"
    variant = root / "people/configs/cpu.pbtxt"
    for version, model in ((1, b"one"), (2, b"two")):
        put(root, "people", model, Target.CUDA)
        config = triton_config.parse(variant.read_text())
        assert triton_config.served_versions(config) == [version]
        assert config["instance_group"] == [{"kind": "KIND_CPU", "count": 1}]
    roll_back(root, "people", None, None)
    assert triton_config.served_versions(triton_config.parse(variant.read_text())) == [1]
    put(root, "people", b"three")
    assert not variant.exists()


def test_a_version_that_a_server_refuses_leaves_the_repository_as_it_was(tmp_path):
    root = tmp_path / "models"
    put(root, "people", b"one")
    before = contents(root)
    with staged(Repository(root), lambda: None) as stage:
        stage.write("people", 2, content("people", 2, b"two"))
        with pytest.raises(ModelError, match="version 1 is served"):
            switch_to(stage, "people", 2, Refusing("localhost:1"))
    assert contents(root) == before


class Refusing(LiveServer):
    """Nobody serves there, which this one only finds when it is to load."""

    def load(self, name, version):
        """Load the version that was there before, refuse any other."""
        if version != 1:
            self.check()


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_missing_model_names_those_that_are_there(tmp_path):
    put(tmp_path / "models", "people", b"one")
    with pytest.raises(ModelError, match="there are: people"):
        Repository(tmp_path / "models").served_version("cars")


@pytest.mark.parametrize("name", ["../people", "people/1", "", ".", ".."])
def test_a_name_that_is_no_folder_of_the_repository_is_no_model(tmp_path, name):
    put(tmp_path / "models", "people", b"one")
    with pytest.raises(ModelError, match="holds no model"):
        Repository(tmp_path / "models").served_version(name)


def test_the_model_of_another_hand_is_not_touched(tmp_path):
    (tmp_path / "models/theirs").mkdir(parents=True)
    (tmp_path / "models/theirs/config.pbtxt").write_text('name: "theirs"')
    with pytest.raises(ModelError, match="choose another --name"):
        Repository(tmp_path / "models").published_version("theirs")


def test_a_version_that_was_removed_by_hand_is_no_obstacle_to_the_next(tmp_path):
    folder = put(tmp_path / "models", "people", b"one")
    folder.rename(tmp_path / "gone")
    assert Repository(tmp_path / "models").published_version("people") is None
    put(tmp_path / "models", "people", b"two")
    assert served(tmp_path / "models", "people") == b"two"


def test_a_second_publisher_waits_for_the_first(tmp_path):
    waited = []

    def waiting():
        waited.append(True)
        first.__exit__(None, None, None)

    first = staged(Repository(tmp_path / "models"), lambda: None)
    first.__enter__()
    with staged(Repository(tmp_path / "models"), waiting):
        pass
    assert waited == [True]


def test_a_folder_that_can_not_be_made_is_one_clear_message(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="choose another --repository"), staged(Repository(tmp_path / "file/x"), print):
        pass


KILLED_AT_EACH_STEP = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.unit.test_converters_repository import put, served

WATCHED = {"open", "os.rename", "os.mkdir", "os.rmdir", "os.remove"}
root, limit, seen, armed = Path(sys.argv[1]), 0, 0, False

def kill(event, arguments):
    global seen
    if armed and event in WATCHED:
        seen += 1
        if seen == limit:
            os._exit(9)

sys.addaudithook(kill)
while True:
    limit += 1
    child = os.fork()
    if child == 0:
        armed = True
        put(root, "people", b"%d" % limit)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(limit, status, (served(root, "people") or b"none").decode())
    if status == 0:
        break
"""


@pytest.mark.parametrize("old", [None, b"0"], ids=["new model", "new version"])
def test_a_publisher_killed_at_any_step_leaves_the_old_state_or_the_new(tmp_path, old):
    root = tmp_path / "models"
    if old is not None:
        put(root, "people", old)
    checkout = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EACH_STEP, root, checkout], capture_output=True, text=True, check=True
    )
    steps = [line.split() for line in done.stdout.splitlines()]
    before = "none" if old is None else old.decode()
    for limit, _status, after in steps:
        assert after in (before, limit)
        before = after
    assert len(steps) > 8
    assert steps[-1][1:] == ["0", steps[-1][0]]
    assert [path.name for path in tmp_path.iterdir()] == ["models"]
