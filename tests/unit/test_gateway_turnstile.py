"""Turns to decode: so many at once, who waits longest first, and none is lost."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from gateway.sources.turnstile import Turn, TurnGate, Turnstile


def never() -> bool:
    return False


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def take(turnstile: Turnstile, stopped: Callable[[], bool] = never) -> bool:
    """Wait for a turn; False when stopped before it came."""
    turn = Turn()
    turnstile.ask(turn)
    while not turn.wait(0.01):
        if stopped() and turnstile.withdraw(turn):
            return False
    return True


def waiting(turnstile: Turnstile, count: int) -> None:
    """Wait until so many wait."""
    while len(turnstile._waiting) < count:
        time.sleep(0.001)


def test_turns_go_to_who_waits_longest(threads: ThreadPoolExecutor):
    turnstile, order = Turnstile(1), list[int]()
    assert take(turnstile)

    def camera(number: int) -> None:
        take(turnstile)
        order.append(number)
        turnstile.give_back()

    taken: list[Future[None]] = []
    for number in range(5):
        taken.append(threads.submit(camera, number))
        waiting(turnstile, number + 1)
    turnstile.give_back()
    for each in taken:
        each.result(5)
    assert order == [0, 1, 2, 3, 4]


def test_who_is_stopped_leaves_and_takes_no_turn_along(threads: ThreadPoolExecutor):
    turnstile, stopped = Turnstile(1), threading.Event()
    take(turnstile)
    gone = threads.submit(take, turnstile, stopped.is_set)
    waiting(turnstile, 1)
    stays = threads.submit(take, turnstile)
    waiting(turnstile, 2)
    stopped.set()
    assert gone.result(5) is False
    turnstile.give_back()
    assert stays.result(5) is True


def test_there_are_never_more_turns_out_than_there_are(threads: ThreadPoolExecutor):
    turnstile, out, most = Turnstile(3), list[int](), list[int]()

    def camera(_: int) -> None:
        for _ in range(200):
            take(turnstile)
            out.append(1)
            most.append(len(out))
            out.pop()
            turnstile.give_back()

    list(threads.map(camera, range(16)))
    assert max(most) <= 3
    assert turnstile._free == 3


def test_a_turn_is_kept_while_no_frame_was_worth_it():
    turnstile = Turnstile(1)
    gate = TurnGate(10, turnstile)
    assert all(gate.wait_turn(never) for _ in range(3))
    gate.frame_comes()
    gate.frame_left()
    assert TurnGate(10, turnstile).wait_turn(never)


def test_a_camera_decodes_no_second_frame_while_one_waits(threads: ThreadPoolExecutor):
    gate = TurnGate(10, Turnstile(4))
    gate.wait_turn(never)
    gate.frame_comes()
    second = threads.submit(gate.wait_turn, never)
    with pytest.raises(TimeoutError):
        second.result(0.05)
    gate.frame_left()
    assert second.result(5) is True


@pytest.mark.parametrize("state", ["unused", "waiting", "stopped"])
def test_a_camera_that_ends_leaves_its_turn_to_others(state: str):
    turnstile = Turnstile(1)
    gate = TurnGate(10, turnstile)
    assert gate.wait_turn(never)
    if state != "unused":
        gate.frame_comes()
    if state == "stopped":
        assert not gate.wait_turn(lambda: True)
    gate.close()
    gate.frame_left()
    assert turnstile._free == 1


def test_a_camera_that_pauses_leaves_an_unused_turn_to_others_and_asks_for_one_again():
    turnstile = Turnstile(1)
    gate, other = TurnGate(10, turnstile), TurnGate(10, turnstile)
    assert gate.wait_turn(never)
    gate.pause()
    assert other.wait_turn(never)
    other.pause()
    assert gate.wait_turn(never)
    gate.close()
    assert turnstile._free == 1


def test_a_camera_that_pauses_keeps_the_turn_of_a_frame_that_waits():
    turnstile = Turnstile(1)
    gate = TurnGate(10, turnstile)
    assert gate.wait_turn(never)
    gate.frame_comes()
    gate.pause()
    assert turnstile._free == 0
    gate.frame_left()
    assert turnstile._free == 1


def test_a_camera_that_gives_frames_by_itself_takes_no_turn():
    turnstile = Turnstile(1)
    gate = TurnGate(10, turnstile)
    gate.frame_comes()
    gate.frame_left()
    assert turnstile._free == 1
