"""What the graph feeds a network against the same made by OpenCV and NumPy, for every kind of input."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from converters.errors import UsageError
from converters.nv12 import append_planes
from converters.onnx_graph import GraphBuilder
from converters.preprocess import ChannelOrder, Element, Layout, Preprocess
from converters.reference import bgr_of, network_input, session


def fed(frames, preprocess):
    """The graph's answer to NV12 frames `[b, H * 3 / 2, W]`."""
    height, width = frames.shape[1] * 2 // 3, frames.shape[2]
    graph = GraphBuilder(prefix="nv12", opset=13)
    graph.op("Identity", append_planes(graph, "frames", height=height, width=width, preprocess=preprocess), out="fed")
    kind = onnx.TensorProto.DataType.Value(preprocess.element.value)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "nv12",
            [helper.make_tensor_value_info("frames", onnx.TensorProto.UINT8, ["b", *frames.shape[1:]])],
            [helper.make_tensor_value_info("fed", kind, [None] * 4)],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=7,
    )
    return session(model.SerializeToString()).run(None, {"frames": frames})[0]


def preprocesses(order):
    planes = 1 if order is ChannelOrder.GREY else 3
    values = st.sampled_from([(0.0,), (127.5,), (123.0, 116.0, 103.0)[:planes]])
    gains = st.sampled_from([(1.0,), (1 / 255,), (1 / 58, 1 / 57, 1 / 56)[:planes]])
    return st.builds(
        Preprocess,
        order=st.just(order),
        mean=values,
        gain=gains,
        layout=st.sampled_from(Layout),
        element=st.sampled_from(Element),
        scale=st.sampled_from([1.0, 1 / 255, 0.5]),
        zero_point=st.sampled_from([0, 3, 127]),
        size=st.sampled_from([None, (15, 12), (16, 11), (15, 11)]),
    )


@settings(max_examples=80, deadline=None)
@given(preprocess=st.sampled_from(ChannelOrder).flatmap(preprocesses), seed=st.integers(0, 2**32 - 1))
def test_any_kind_of_input_is_fed_as_by_opencv_and_numpy_to_one_level(preprocess, seed):
    frames = np.random.default_rng(seed).integers(0, 256, (2, 24, 12), dtype=np.uint8)
    expected = np.stack([network_input(bgr_of(frame), preprocess) for frame in frames])
    found = fed(frames, preprocess)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    level = max(preprocess.gain) / (preprocess.scale if preprocess.quantised else 1)
    far = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    slack = 1 if preprocess.quantised else 0.13 if preprocess.element is Element.FLOAT16 else 1e-3
    assert far.max() <= level + slack


def test_bytes_go_in_unchanged_and_signed_bytes_shifted():
    frames = np.random.default_rng(1).integers(0, 256, (1, 24, 12), dtype=np.uint8)
    plain = fed(frames, Preprocess(order=ChannelOrder.RGB))
    unsigned = fed(frames, Preprocess(order=ChannelOrder.RGB, element=Element.UINT8))
    signed = fed(frames, Preprocess(order=ChannelOrder.RGB, element=Element.INT8, zero_point=-128))
    np.testing.assert_array_equal(unsigned, plain)
    np.testing.assert_array_equal(signed, plain - 128)


@pytest.mark.parametrize(
    "changes",
    [
        {"mean": (1.0, 2.0)},
        {"gain": (1.0, 1.0, 1.0), "order": ChannelOrder.GREY},
        {"scale": 0.0},
        {"scale": float("nan")},
        {"zero_point": 256},
        {"zero_point": 200, "element": Element.INT8},
    ],
)
def test_an_input_that_contradicts_itself_can_not_be_made(changes):
    with pytest.raises(UsageError):
        Preprocess(**{"order": ChannelOrder.RGB} | changes)
