"""Frames on their way from cameras' threads never pile up, none is forgotten, and the event loop is told seldom."""

import threading

import numpy as np

from gateway.domain.frame import Frame
from gateway.pipeline.arrivals import Arrivals, Mailbox

LUMA, CHROMA = np.zeros((2, 2), np.uint8), np.zeros((1, 1), np.uint8)


class Camera:
    """What `Arrivals` needs of a camera."""

    def __init__(self) -> None:
        self.mailbox = Mailbox()


def a_frame(index: int) -> Frame:
    return Frame(index, 0.0, 0.0, LUMA, CHROMA, CHROMA)


def taken(arrivals: Arrivals[Camera]) -> list[tuple[Camera, int, float, list[int]]]:
    return [(camera, each.frame.index, each.at_s, each.replaced) for camera, each in arrivals.take()]


def test_a_newer_frame_takes_the_place_of_one_that_waits_and_has_its_own_time():
    camera, told = Camera(), list[None]()
    arrivals = Arrivals[Camera](lambda: told.append(None))
    for index in range(3):
        arrivals.put(camera, a_frame(index), index / 10)
    assert taken(arrivals) == [(camera, 2, 0.2, [0, 1])]
    assert taken(arrivals) == []
    assert camera.mailbox.take() is None


def test_one_call_is_enough_for_the_frames_of_all_cameras():
    cameras, told = [Camera() for _ in range(16)], list[None]()
    arrivals = Arrivals[Camera](lambda: told.append(None))
    for camera in cameras:
        arrivals.put(camera, a_frame(0), 0.0)
    assert len(told) == 1
    assert [camera for camera, *_ in taken(arrivals)] == cameras
    arrivals.put(cameras[0], a_frame(1), 0.1)
    assert len(told) == 2


def test_nothing_is_told_while_the_loop_looks_by_itself_and_it_learns_what_came_before():
    camera, told = Camera(), list[None]()
    arrivals = Arrivals[Camera](lambda: told.append(None))
    assert not arrivals.look_by_itself()
    arrivals.put(camera, a_frame(0), 0.0)
    assert not told
    assert arrivals.look_by_itself()
    assert [index for _, index, *_ in taken(arrivals)] == [0]


def test_every_frame_is_taken_or_replaced_whatever_the_threads_do():
    cameras, told, frames = [Camera() for _ in range(3)], threading.Semaphore(0), 10_000
    arrivals = Arrivals[Camera](told.release)

    def run(camera: Camera) -> None:
        for index in range(frames):
            arrivals.put(camera, a_frame(index), 0.0)

    threads = [threading.Thread(target=run, args=[camera]) for camera in cameras]
    for thread in threads:
        thread.start()
    seen: dict[Camera, list[int]] = {camera: [] for camera in cameras}
    looks, by_itself = 0, False
    while any(len(each) < frames for each in seen.values()):
        assert by_itself or told.acquire(timeout=10), "a frame waits that nobody was told of"
        for camera, index, _, replaced in taken(arrivals):
            seen[camera] += [*replaced, index]
        looks += 1
        by_itself = looks % 3 == 0
        if by_itself:
            arrivals.look_by_itself()
    for thread in threads:
        thread.join()
    assert all(each == list(range(frames)) for each in seen.values())
