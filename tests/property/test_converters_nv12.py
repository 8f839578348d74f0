"""The NV12 part of a fused graph against OpenCV."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from converters.nv12 import append_planes, luma_of
from converters.onnx_graph import GraphBuilder
from converters.pictures import nv12_of
from converters.preprocess import ChannelOrder, Preprocess
from converters.reference import session

BGR = Preprocess(order=ChannelOrder.BGR)


def converted(frames, preprocess=BGR, opset=11):
    """The graph's planes `[b, 3, H, W]` of NV12 frames `[b, H * 3 / 2, W]`."""
    height, width = frames.shape[1] * 2 // 3, frames.shape[2]
    graph = GraphBuilder(prefix="nv12", opset=opset)
    planes = append_planes(graph, "frames", height=height, width=width, preprocess=preprocess)
    graph.op("Identity", planes, out="planes")
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "nv12",
            [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["b", *frames.shape[1:]])],
            [helper.make_tensor_value_info("planes", TensorProto.FLOAT, ["b", 3, height, width])],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=7,
    )
    return session(model.SerializeToString()).run(None, {"frames": frames})[0]


def by_opencv(frames, code=cv2.COLOR_YUV2BGR_NV12):
    return np.stack([cv2.cvtColor(frame, code).transpose(2, 0, 1) for frame in frames])


@settings(max_examples=40, deadline=None)
@given(
    half_height=st.integers(1, 20),
    half_width=st.integers(1, 20),
    batch=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_frame_of_any_even_size_decodes_as_opencv_does_to_a_level(half_height, half_width, batch, seed):
    shape = (batch, half_height * 3, half_width * 2)
    frames = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    assert np.abs(converted(frames) - by_opencv(frames)).max() <= 1


def test_fewer_than_one_value_in_ten_thousand_is_a_level_away():
    frames = np.random.default_rng(0).integers(0, 256, (4, 384, 256), dtype=np.uint8)
    assert (converted(frames) != by_opencv(frames)).mean() < 1e-4


def test_every_grey_and_every_pure_chroma_decodes_exactly():
    frames = np.full((256, 3, 2), 128, dtype=np.uint8)
    frames[:, :2] = np.arange(256, dtype=np.uint8)[:, None, None]
    np.testing.assert_array_equal(converted(frames), by_opencv(frames))


def test_rgb_mean_and_gain_are_applied_in_plane_order():
    frames = np.random.default_rng(0).integers(0, 256, (1, 48, 32), dtype=np.uint8)
    mean, gain = (123.0, 116.0, 103.0), (1 / 58, 1 / 57, 1 / 56)
    planes = converted(frames, Preprocess(order=ChannelOrder.RGB, mean=mean, gain=gain))
    levels = by_opencv(frames, cv2.COLOR_YUV2RGB_NV12).astype(np.float32)
    expected = (levels - np.reshape(mean, (1, 3, 1, 1))) * np.reshape(gain, (1, 3, 1, 1))
    np.testing.assert_allclose(planes, expected, atol=0.02)
    assert (np.abs(planes - expected) < 1e-4).mean() > 0.999


@pytest.mark.parametrize("level", [0, 16, 114, 127, 255])
def test_the_pad_luma_decodes_to_the_level_it_stands_for(level):
    frame = np.full((1, 3, 2), 128, dtype=np.uint8)
    frame[:, :2] = luma_of(level)
    assert np.abs(converted(frame) - level).max() <= 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_picture_without_fine_colour_survives_nv12_within_three_levels(seed):
    corners = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    picture = cv2.resize(corners, (128, 96), interpolation=cv2.INTER_LINEAR)
    back = by_opencv(nv12_of(picture)[None])[0].transpose(1, 2, 0)
    assert np.abs(back.astype(int) - picture).max() <= 12
    assert np.abs(back.astype(int) - picture).mean() <= 3
