"""Models whose weights lie in files beside them: whole when those are sound, refused when a name leads elsewhere."""

import os

import onnx
import pytest
from onnx import TensorProto
from onnx.external_data_helper import convert_model_to_external_data

from converters.errors import ModelError
from converters.onnx_file import read_onnx
from tests.support.tiny_yolox import tiny_yolox

WEIGHTS = "tiny.onnx.data"


def saved_in_two(folder, **options):
    """The network as PyTorch's exporter writes it: a graph, and its weights beside it."""
    model = tiny_yolox()
    convert_model_to_external_data(model, location=WEIGHTS, size_threshold=0, **options)
    path = folder / "tiny.onnx"
    onnx.save(model, path)
    return path


def redirected(path, location):
    """The same with another name for its weights."""
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = str(location)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("together", [True, False], ids=["one file", "a file for each tensor"])
def test_weights_beside_a_model_are_read_and_named(tmp_path, together):
    path = saved_in_two(tmp_path, all_tensors_to_one_file=together)
    assert len(list(tmp_path.iterdir())) == (2 if together else 1 + len(tiny_yolox().graph.initializer))
    file = read_onnx(path)
    expected = {tensor.name: tensor.raw_data for tensor in tiny_yolox().graph.initializer}
    assert {tensor.name: tensor.raw_data for tensor in file.model.graph.initializer} == expected
    assert not any(tensor.external_data for tensor in onnx.load_model_from_string(file.data).graph.initializer)
    if together:
        assert WEIGHTS in dict(file.origin)["weights"]


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../secret", "deep/../../secret", "deep/secret", "..", "", "a\\b", "x\0y"]
)
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, location):
    folder = tmp_path / "models"
    (folder / "deep").mkdir(parents=True)
    path = saved_in_two(folder)
    weights = (folder / WEIGHTS).read_bytes()
    for secret in (tmp_path / "secret", folder / "deep/secret"):
        secret.write_bytes(weights)
    with pytest.raises(ModelError, match=r"keeps weights in other files: .* is not the name of a file beside it"):
        read_onnx(redirected(path, location))


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symlink", "hard link"])
def test_a_link_in_place_of_the_weights_is_refused(tmp_path, link):
    (tmp_path / "models").mkdir()
    path = saved_in_two(tmp_path / "models")
    (tmp_path / "models" / WEIGHTS).rename(tmp_path / "weights")
    link(tmp_path / "weights", tmp_path / "models" / WEIGHTS)
    with pytest.raises(ModelError, match="is a link, and might lead to any file"):
        read_onnx(path)


def test_weights_that_are_a_pipe_or_a_folder_are_refused_at_once(tmp_path):
    path = saved_in_two(tmp_path)
    for make in (os.mkfifo, os.mkdir):
        (tmp_path / "other").unlink(missing_ok=True)
        make(tmp_path / "other")
        with pytest.raises(ModelError, match="keeps weights in other files: 'other'"):
            read_onnx(redirected(path, "other"))


def test_weights_that_are_missing_or_cut_short_are_named(tmp_path):
    path = saved_in_two(tmp_path)
    weights = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(weights[:-1])
    with pytest.raises(ModelError, match="cut short"):
        read_onnx(path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(ModelError, match=rf"'{WEIGHTS}' can't be read .* belongs beside the model"):
        read_onnx(path)


def test_tensors_that_share_bytes_can_not_ask_for_more_than_there_are(tmp_path):
    model = tiny_yolox()
    (tmp_path / WEIGHTS).write_bytes(bytes(4096))
    for index in range(9):
        tensor = TensorProto(
            name=f"w{index}", data_type=TensorProto.FLOAT, dims=[512], data_location=TensorProto.EXTERNAL
        )
        tensor.external_data.add(key="location", value=WEIGHTS)
        model.graph.initializer.append(tensor)
    path = tmp_path / "tiny.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"18432 bytes are asked of tiny\.onnx\.data, which has 4096"):
        read_onnx(path)


def test_a_position_that_is_no_number_is_refused(tmp_path):
    path = saved_in_two(tmp_path)
    model = onnx.load(path, load_external_data=False)
    next(entry for entry in model.graph.initializer[0].external_data if entry.key == "offset").value = "-4"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="'-4' is no position in a file"):
        read_onnx(path)
