"""The descriptor of any picture is OpenCV's."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.builtin_hog import MARGIN_PX, OPSET
from converters.hog_parity import descriptor_difference


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(96, 180),
    width=st.integers(40, 140),
    levels=st.sampled_from([2, 4, 256]),
    margin=st.sampled_from([MARGIN_PX, 24]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_graphs_descriptor_is_opencvs(height: int, width: int, levels: int, margin: int, seed: int):
    coarse = np.random.default_rng(seed).integers(0, levels, (height, width))
    grey = (coarse * (255 // (levels - 1))).astype(np.uint8)
    difference = descriptor_difference(grey, margin, OPSET)
    assert difference.windows > 0
    assert difference.largest <= 1e-5
    assert difference.mean <= 1e-6


@settings(max_examples=5, deadline=None)
@given(level=st.integers(0, 255))
def test_a_flat_picture_has_an_empty_descriptor_and_no_division_by_zero(level: int):
    grey = np.full((100, 50), level, np.uint8)
    assert descriptor_difference(grey, MARGIN_PX, OPSET).largest == 0
