"""Evidence opens as a picture of the source's size, and shows what it should where it should."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.definitions import WHOLE_PICTURE
from gateway.domain.frame import Frame
from gateway.evidence import Drawing, Mark, take_pictures
from gateway.evidence.lettering import text_coverage
from gateway.evidence.picture import OBJECT_BGR, VIOLATION_BGR, ZONE_BGR
from tests.support.pictures import a_frame

BOX = (200.0, 150.0, 320.0, 400.0)


def decoded(jpeg: bytes) -> np.ndarray:
    assert jpeg.startswith(b"\xff\xd8")
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


def render_jpeg(frame: Frame, zone: Sequence[tuple[float, float]], marks: Sequence[Mark], caption: str) -> bytes:
    return take_pictures(frame, Drawing(zone, marks, caption)).annotated


def near(picture: np.ndarray, x: int, y: int, bgr: tuple[int, int, int]) -> bool:
    """Whether a pixel around this place has a colour, as far as JPEG keeps it."""
    patch = picture[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].astype(int)
    return bool((np.abs(patch - bgr).max(axis=-1) < 60).any())


@pytest.mark.parametrize("size_wh", [(640, 480), (641, 481), (1920, 1080), (33, 17), (1, 1), (2, 900)])
def test_it_has_the_sources_resolution(size_wh: tuple[int, int]):
    frame = a_frame(resolution_wh=size_wh, seed=3)
    marks = [Mark((0, 0, size_wh[0], size_wh[1]), "person 0.90", violates=True)]
    assert decoded(render_jpeg(frame, WHOLE_PICTURE, marks, "caption")).shape[:2] == size_wh[::-1]


def test_boxes_lie_on_their_objects_in_the_colour_of_their_kind():
    frame = a_frame(resolution_wh=(640, 480), luma=90)
    other = (400.0, 200.0, 500.0, 420.0)
    picture = decoded(
        render_jpeg(frame, WHOLE_PICTURE, [Mark(BOX, "", violates=True), Mark(other, "", violates=False)], "")
    )
    for box, bgr in ((BOX, VIOLATION_BGR), (other, OBJECT_BGR)):
        x1, y1, x2, y2 = (int(v) for v in box)
        assert all(near(picture, x, y, bgr) for x, y in ((x1, y2), (x2, y2), (x1, (y1 + y2) // 2), (x2, y1)))
        assert not near(picture, (x1 + x2) // 2, (y1 + y2) // 2, bgr)


def test_the_zone_is_outlined_at_its_fractions_of_the_picture():
    zone = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
    picture = decoded(render_jpeg(a_frame(resolution_wh=(1280, 960), luma=90), zone, [], ""))
    assert all(near(picture, x, y, ZONE_BGR) for x, y in ((320, 480), (960, 480), (640, 240), (640, 720)))
    assert not near(picture, 160, 120, ZONE_BGR)


def test_the_frame_itself_is_not_drawn_on():
    frame = a_frame(resolution_wh=(640, 480), luma=90)
    render_jpeg(frame, WHOLE_PICTURE, [Mark(BOX, "person", violates=True)], "caption")
    assert np.all(frame.luma == 90)
    assert np.all(frame.chroma_u == 128)


def test_colours_are_those_of_the_planes():
    frame = a_frame(resolution_wh=(64, 48), luma=81)
    frame.chroma_u[:], frame.chroma_v[:] = 90, 240  # BT.601 limited range: pure red
    blue, green, red = decoded(render_jpeg(frame, ((0, 0), (0.01, 0), (0, 0.01)), [], ""))[20, 50].astype(int)
    assert red > 240
    assert blue < 16
    assert green < 16


@pytest.mark.parametrize("box", [(-50.0, -50.0, 2000.0, 2000.0), (10.0, 10.0, 10.0, 10.0), (600.0, 0.0, 640.0, 5.0)])
def test_boxes_at_and_beyond_the_edge_are_drawn_all_the_same(box: tuple[float, float, float, float]):
    frame = a_frame(resolution_wh=(640, 480))
    decoded(render_jpeg(frame, WHOLE_PICTURE, [Mark(box, "x" * 300, violates=True)], "Größe 人 " * 40))


def test_the_clean_picture_is_the_frame_and_nothing_else():
    frame = a_frame(resolution_wh=(640, 480), luma=126)
    clean = decoded(take_pictures(frame, Drawing(((0, 0), (1, 0), (0, 1)), [Mark(BOX, "person", True)], "hello")).clean)
    assert clean.shape == (480, 640, 3)
    assert np.ptp(clean) == 0


def test_letters_that_are_no_ascii_are_written():
    written = {text: text_coverage(text, 24).tobytes() for text in ("Größe", "Gr??e", "Grosse", "Склад", "?????")}
    assert len(set(written.values())) == len(written)
    assert text_coverage("Größe", 24).max() == 255
    assert text_coverage("", 24).max() == 0


@given(st.text(st.sampled_from("a人\u05d0\n\r\t\x1c\x1d\x1e\x85\u2028\u2029") | st.characters(), max_size=20))
@settings(deadline=None)
def test_whatever_a_rule_is_called_can_be_written(name: str):
    assert text_coverage(f"{name}  2026-03-01", 12).max() > 0


def test_a_line_break_is_written_as_a_space():
    assert np.array_equal(text_coverage("nobody\r\nat the\u2029table\n", 24), text_coverage("nobody at the table", 24))


def test_what_is_masked_is_black_in_both_pictures_whatever_is_drawn():
    frame = a_frame(resolution_wh=(640, 480), luma=200)
    mask = ((0.5, 0.0), (1.0, 0.0), (1.0, 0.5), (0.5, 0.5))
    pictures = take_pictures(frame, Drawing(WHOLE_PICTURE, [], ""), [mask])
    for picture in (decoded(pictures.clean), decoded(pictures.annotated)):
        assert picture[0:236, 324:640].max() <= 8
        assert picture[300:400].min() > 150
