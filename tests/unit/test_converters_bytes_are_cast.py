"""What a published graph does with its bytes first: TensorRT lets a UINT8 input be cast and nothing else."""

import pytest

from converters import families
from converters.builtin_hog import build
from converters.families import BuildOptions
from converters.onnx_file import read_onnx
from converters.quarter_turns import with_quarter_turns
from converters.spec import INPUT_NAME
from tests.support.tiny_yolox import saved, tiny_yolox


def detector(folder):
    file = read_onnx(saved(tiny_yolox(height=64, width=64), folder / "tiny.onnx"))
    return families.FAMILIES["yolox"].build(file, BuildOptions(labels=("dog", "person", "cat")))


@pytest.mark.parametrize(
    "built",
    [detector, lambda folder: with_quarter_turns(detector(folder)), lambda _folder: build()],
    ids=["a detector", "with quarter turns", "people_hog"],
)
def test_frames_are_cast_before_anything_else_is_done_with_them(tmp_path, built):
    readers = [node.op_type for node in built(tmp_path).model.graph.node if INPUT_NAME in node.input]
    assert readers == ["Cast"]
