"""What the command line says while it works."""

import re

import pytest

from converters.progress import Progress, Steps


@pytest.fixture
def said(capsys):
    return lambda: capsys.readouterr().err


def test_a_file_gets_a_line_for_each_stage_and_no_bar(said):
    progress = Progress(live=False)
    progress("read a model")
    told = Steps(progress, 4)
    told(3)
    progress("publish it")
    progress.close()
    assert re.fullmatch(r" +0\.\d s  read a model\n +0\.\d s  publish it\n", said())


def test_a_terminal_shows_how_far_a_stage_is_and_keeps_its_line_in_the_end(said, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    progress = Progress(live=True)
    progress("verify")
    told = Steps(progress, 4)
    assert said().endswith("s  verify ...")
    monkeypatch.setattr("converters.progress._REDRAW_S", 0)
    told()
    assert said().endswith("s  verify [#####...............]  25%")
    told(99)
    assert said().endswith("s  verify [####################] 100%")
    progress.close()
    progress.close()
    assert re.fullmatch(r"\r\x1b\[K +0\.\d s  verify\n", said())


def test_a_bar_is_not_drawn_oftener_than_it_is_looked_at(said):
    progress = Progress(live=True)
    progress("verify")
    told = Steps(progress, 100_000)
    for _ in range(1000):
        told()
    assert said().count("\r") <= 20


def test_a_long_stage_never_fills_the_line_of_a_terminal(said, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    progress = Progress(live=True)
    progress("fuse as yolox: " + "because " * 20)
    progress.advance(1)
    drawn = [text.removeprefix("\x1b[K") for text in said().split("\r") if text]
    assert len(drawn) == 2
    assert all(len(text) < 60 for text in drawn)
    progress.close()
    assert said().count("because") == 20


def test_a_report_that_is_a_plain_function_hears_of_stages_alone():
    heard = []
    Steps(heard.append, 3)(3)
    Steps(None, 3)(3)
    assert heard == []
