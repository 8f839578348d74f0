"""What a running Triton was told to load is looked at before it is declared."""

import io
import json
from hashlib import sha256

from triton_agent.doorkeeper import Doorkeeper
from triton_agent.integrity import Integrity
from triton_agent.logs import Log
from triton_agent.triton_api import ServedModel, Statistics


class Triton:
    """Says what it was told to say, and notes what it unloads."""

    def __init__(self) -> None:
        self.inferences = 0
        self.unloaded: list[str] = []

    def statistics(self) -> dict[tuple[str, str], Statistics]:
        return {("m", "1"): Statistics(self.inferences, 0.0)}

    def unload(self, model: str) -> None:
        self.unloaded.append(model)


def publish(folder, content=b"graph"):
    version = folder / "m/1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(content)
    (version / "manifest.json").write_text(json.dumps({"model_sha256": sha256(content).hexdigest()}))
    return version / "model.onnx"


LOADED, ABSENT = (ServedModel("m", "1", loaded=True),), (ServedModel("m", "1", loaded=False),)


def test_an_altered_model_is_unloaded_and_declared_as_not_loaded_each_time_it_is_loaded(tmp_path):
    triton, log = Triton(), io.StringIO()
    doorkeeper = Doorkeeper(tmp_path, triton, Integrity(None), Log(stream=log))
    publish(tmp_path).write_bytes(b"other")
    for times in (1, 2):
        assert doorkeeper.admit(LOADED) == ABSENT
        assert triton.unloaded == ["m"] * times
    assert "model.onnx was changed after it was published" in log.getvalue()


def test_a_model_whose_file_changes_while_it_is_served_goes_on_until_it_is_loaded_again(tmp_path):
    triton = Triton()
    doorkeeper = Doorkeeper(tmp_path, triton, Integrity(None), Log(stream=io.StringIO()))
    model = publish(tmp_path)
    assert doorkeeper.admit(LOADED) == LOADED
    triton.inferences = 7
    model.write_bytes(b"other")
    assert doorkeeper.admit(LOADED) == LOADED
    triton.inferences = 2
    assert doorkeeper.admit(LOADED) == ABSENT
    assert triton.unloaded == ["m"]


def test_models_that_lie_elsewhere_or_can_not_be_looked_into_are_left_to_triton(tmp_path):
    triton = Triton()
    doorkeeper = Doorkeeper(tmp_path, triton, Integrity(None), Log(stream=io.StringIO()))
    (tmp_path / "m").write_text("no folder")
    elsewhere = (*LOADED, ServedModel("gone", "1", loaded=True))
    assert doorkeeper.admit(elsewhere) == elsewhere
    assert triton.unloaded == []
