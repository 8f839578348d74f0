"""`demo:` as a camera URL, and the source behind it."""

import threading

import pytest

from gateway.domain.clock import SystemClock
from gateway.errors import InvalidInputError
from gateway.sources import open_source
from gateway.sources.demo import DemoSource, DemoStreet
from gateway.sources.urls import Pace


def test_frames_count_on_from_the_anchor_at_the_asked_rate():
    source = open_source("demo:?pace=max&fps=8&size=640x360", SystemClock())
    source.open(anchor_s=1000.0)
    frames = [source.read() for _ in range(3)]
    source.close()
    assert [frame.index for frame in frames if frame] == [0, 1, 2]
    assert [frame.time_s for frame in frames if frame] == [1000.0, 1000.125, 1000.25]
    assert [frame.pts_s for frame in frames if frame] == [0.0, 0.125, 0.25]
    assert frames[0] is not None
    assert frames[0].resolution_wh == (640, 360)


def test_the_options_choose_the_street():
    source = open_source("demo:?pace=max&people=2&seed=9&size=320x180", SystemClock())
    source.open(0.0)
    first = source.read()
    assert first is not None
    expected = DemoStreet(people=2, seed=9, size_wh=(320, 180)).render(0)
    assert all((plane == other).all() for plane, other in zip((first.luma, first.chroma_u), expected, strict=False))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("demo:?persons=3", "people=0 to 8"),
        ("demo:?people=9", "people of a demo URL is 0 to 8, not '9'"),
        ("demo:?people=two", "people of a demo URL is 0 to 8, not 'two'"),
        ("demo:?people=-1", "0 to 8"),
        ("demo:?seed=4294967296", "0 to 4294967295"),
        ("demo:?fps=0", "1 to 60"),
        ("demo:?fps=nan", "1 to 60"),
        ("demo:?size=641x360", "even"),
        ("demo:?size=big", "WIDTHxHEIGHT"),
        ("demo:?size=8000x8000", "3840x2160"),
        ("demo:?pace=slow", "realtime or max"),
        ("demo:street", "demo:?people=3"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_with_what_would_do(url: str, said: str):
    with pytest.raises(InvalidInputError) as refused:
        open_source(url, SystemClock())
    assert said in str(refused.value)


def test_closing_wakes_a_read_that_waits_for_its_frame():
    source = DemoSource(DemoStreet(size_wh=(320, 180), fps=1 / 3600), pace=Pace.REALTIME, clock=SystemClock())
    source.open(0.0)
    assert source.read() is not None
    answers: list[object] = []
    reader = threading.Thread(target=lambda: answers.append(source.read()))
    reader.start()
    source.close()
    reader.join(10)
    assert answers == [None]
    assert source.read() is None
    source.close()
