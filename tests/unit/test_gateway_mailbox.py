"""Frames on their way from a camera's thread never pile up, and none is forgotten."""

import threading

import numpy as np

from gateway.domain.frame import Frame
from gateway.pipeline.mailbox import Mailbox

LUMA, CHROMA = np.zeros((2, 2), np.uint8), np.zeros((1, 1), np.uint8)


def a_frame(index: int) -> Frame:
    return Frame(index, 0.0, 0.0, LUMA, CHROMA, CHROMA)


def test_the_event_loop_is_told_of_a_frame_once_and_gets_the_newest():
    mailbox = Mailbox()
    assert [mailbox.put(a_frame(index)) for index in range(3)] == [True, False, False]
    frame, replaced = mailbox.take()
    assert frame is not None
    assert (frame.index, replaced) == (2, [0, 1])
    assert mailbox.take() == (None, [])
    assert mailbox.put(a_frame(3))


def test_every_frame_is_taken_or_replaced_whatever_two_threads_do():
    mailbox, told, frames = Mailbox(), threading.Semaphore(0), 20_000

    def camera() -> None:
        for index in range(frames):
            if mailbox.put(a_frame(index)):
                told.release()

    thread = threading.Thread(target=camera)
    thread.start()
    seen: list[int] = []
    while len(seen) < frames:
        assert told.acquire(timeout=10), "a frame waits that nobody was told of"
        frame, replaced = mailbox.take()
        assert frame is not None
        seen += [*replaced, frame.index]
    thread.join()
    assert seen == list(range(frames))
