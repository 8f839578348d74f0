"""A picture's place on the canvas, the way back, and what is written there."""

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.frame import Frame
from gateway.domain.letterbox import Letterbox, LetterboxMode
from gateway.inference.canvas import Canvas
from tests.support.pictures import a_frame

Sides = st.integers(1, 4000)
EvenSides = st.integers(1, 700).map(lambda n: 2 * n)
Modes = st.sampled_from(LetterboxMode)
Small = st.integers(1, 90)
SmallEven = st.integers(1, 40).map(lambda n: 2 * n)


@given(source_wh=st.tuples(Sides, Sides), canvas_wh=st.tuples(EvenSides, EvenSides), mode=Modes)
def test_the_picture_lies_inside_on_even_pixels(source_wh, canvas_wh, mode):
    box = Letterbox.fit(source_wh, canvas_wh, mode)
    for axis in (0, 1):
        assert box.placed_wh[axis] >= 2
        assert box.placed_wh[axis] % 2 == box.offset_xy[axis] % 2 == 0
        assert box.offset_xy[axis] + box.placed_wh[axis] <= canvas_wh[axis]
        margins = (box.offset_xy[axis], canvas_wh[axis] - box.offset_xy[axis] - box.placed_wh[axis])
        if mode is LetterboxMode.CENTER:
            assert 0 <= margins[1] - margins[0] <= 2
        elif mode is LetterboxMode.TOP_LEFT:
            assert margins[0] == 0
        else:
            assert margins == (0, 0)
    if mode is not LetterboxMode.STRETCH:
        assert any(abs(placed - canvas) <= 1 for placed, canvas in zip(box.placed_wh, canvas_wh, strict=True))


@given(
    source_wh=st.tuples(Sides, Sides),
    canvas_wh=st.tuples(EvenSides, EvenSides),
    mode=Modes,
    at=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_point_comes_back_to_where_it_was(source_wh, canvas_wh, mode, at):
    box = Letterbox.fit(source_wh, canvas_wh, mode)
    point = np.array(at) * source_wh
    on_canvas = (point * box.scale_xy + box.offset_xy).astype(np.float32)
    back = box.to_source(on_canvas[np.newaxis], source_wh)[0]
    assert back.dtype == np.float32
    assert np.all(np.abs(back - point) <= np.maximum(1e-3, 1e-3 / np.array(box.scale_xy)))


@given(xy=st.tuples(st.floats(-1e6, 1e6, width=32), st.floats(-1e6, 1e6, width=32)), mode=Modes)
def test_a_point_in_the_margin_is_clipped_to_the_picture(xy, mode):
    back = Letterbox.fit((1920, 1080), (416, 416), mode).to_source(np.array([xy], np.float32), (1920, 1080))
    assert np.all(back >= 0)
    assert np.all(back <= (1920, 1080))


def by_hand(frame: Frame, box: Letterbox, pad_luma: int) -> np.ndarray:
    """Resize each plane, pad it, interleave the chroma: no view, nothing in place."""

    def placed(plane: np.ndarray, divisor: int, pad: int) -> np.ndarray:
        (width, height), (left, top) = box.placed_wh, box.offset_xy
        canvas_w, canvas_h = box.canvas_wh
        scaled = cv2.resize(np.ascontiguousarray(plane), (width // divisor, height // divisor))
        rest = ((canvas_h - top - height) // divisor, (canvas_w - left - width) // divisor)
        return np.pad(
            scaled.reshape(height // divisor, width // divisor),
            ((top // divisor, rest[0]), (left // divisor, rest[1])),
            constant_values=pad,
        )

    luma = placed(frame.luma, 1, pad_luma)
    chroma = np.stack([placed(frame.chroma_u, 2, 128), placed(frame.chroma_v, 2, 128)], axis=-1)
    return np.concatenate([luma, chroma.reshape(-1, luma.shape[1])])


def strided(frame: Frame, padding: int) -> Frame:
    """The same picture in rows that are wider than it is, as decoders lay them out."""

    def wider(plane: np.ndarray) -> np.ndarray:
        rows = np.full((plane.shape[0], plane.shape[1] + padding), 77, np.uint8)
        rows[:, : plane.shape[1]] = plane
        return rows[:, : plane.shape[1]]

    planes = (wider(plane) for plane in (frame.luma, frame.chroma_u, frame.chroma_v))
    return Frame(frame.index, frame.pts_s, frame.time_s, *planes)


@settings(deadline=None)
@given(
    source_wh=st.tuples(Small, Small),
    canvas_wh=st.tuples(SmallEven, SmallEven),
    mode=Modes,
    pad_luma=st.integers(0, 255),
    padding=st.integers(0, 70),
    seed=st.integers(0, 1000),
)
def test_the_canvas_is_what_resizing_and_padding_each_plane_gives(source_wh, canvas_wh, mode, pad_luma, padding, seed):
    frame = strided(a_frame(resolution_wh=source_wh, seed=seed), padding)
    box = Letterbox.fit(source_wh, canvas_wh, mode)
    width, height = canvas_wh
    for dirt in (0, 255):
        canvas = np.full((height * 3 // 2, width), dirt, np.uint8)
        Canvas(canvas, box, pad_luma).write(frame)
        np.testing.assert_array_equal(canvas, by_hand(frame, box, pad_luma))


@given(source_wh=st.tuples(Small, Small), mode=Modes, seed=st.integers(0, 1000))
def test_a_second_picture_takes_the_place_of_the_first(source_wh, mode, seed):
    box = Letterbox.fit(source_wh, (64, 48), mode)
    first, second = (a_frame(resolution_wh=source_wh, seed=seed + k) for k in range(2))
    canvas = np.zeros((72, 64), np.uint8)
    placed = Canvas(canvas, box, 16)
    placed.write(first)
    placed.write(second)
    np.testing.assert_array_equal(canvas, by_hand(second, box, 16))


def test_a_picture_of_the_canvas_size_is_copied_as_it_is():
    frame = a_frame(resolution_wh=(64, 48), seed=1)
    canvas = np.zeros((72, 64), np.uint8)
    Canvas(canvas, Letterbox.fit((64, 48), (64, 48), LetterboxMode.CENTER), 16).write(frame)
    np.testing.assert_array_equal(canvas[:48], frame.luma)
    np.testing.assert_array_equal(canvas[48:, 0::2], frame.chroma_u)
    np.testing.assert_array_equal(canvas[48:, 1::2], frame.chroma_v)
