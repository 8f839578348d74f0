"""A camera that needs no camera: `demo:?people=3&seed=1&fps=10&size=1280x720&pace=realtime`."""

import re
from collections.abc import Callable
from typing import TypeVar

from gateway.domain.clock import Clock
from gateway.domain.frame import Frame
from gateway.domain.ports import Gate
from gateway.errors import InvalidInputError
from gateway.sources.demo.street import DemoStreet
from gateway.sources.pacing import Pacer
from gateway.sources.urls import CameraUrl, Pace, check_options, pace_option

OPTIONS = {
    "people": "0 to 8",
    "seed": "0 to 4294967295",
    "fps": "1 to 60",
    "size": "WIDTHxHEIGHT, even, 320x180 to 3840x2160",
    "pace": "realtime|max",
}

_Number = TypeVar("_Number", int, float)


class DemoSource:
    """Gives the frames of a `DemoStreet`, without end.

    Args:
        street: What is to be seen.
        pace: As fast as people walk, or as fast as it renders.
        clock: For pacing.
    """

    def __init__(self, street: DemoStreet, *, pace: Pace, clock: Clock) -> None:
        self._street = street
        self._pacer = Pacer(pace, clock)
        self._anchor_s = 0.0
        self._index = 0

    @classmethod
    def from_url(cls, url: CameraUrl, clock: Clock) -> "DemoSource":
        """Make one of a parsed camera URL.

        Raises:
            InvalidInputError: An option is unknown or out of its range; the message lists what there is.
        """
        check_options(url, OPTIONS)
        if url.path:
            raise InvalidInputError(f"a demo URL has options alone, as in demo:?people=3, not {url.path!r}")
        street = DemoStreet(
            people=_number(url, "people", int, 3, 0, 8),
            seed=_number(url, "seed", int, 1, 0, 2**32 - 1),
            size_wh=_size(url),
            fps=_number(url, "fps", float, 10.0, 1.0, 60.0),
        )
        return cls(street, pace=pace_option(url), clock=clock)

    def open(self, anchor_s: float) -> None:
        """Begin at frame 0, whose frame time is `anchor_s`."""
        self._anchor_s = anchor_s
        self._index = 0

    def read(self, gate: Gate | None = None) -> Frame | None:
        """The next frame, when it is due; None once closed. What the gate doesn't admit isn't rendered."""
        while self._pacer.wait_turn(gate) and not self._pacer.stopped:
            index, pts_s = self._index, self._index / self._street.fps
            time_s = self._anchor_s + pts_s
            self._index += 1
            if gate is None or gate.admit(time_s):
                planes = self._street.render(index)
                return Frame(index, pts_s, time_s, *planes) if self._pacer.wait(pts_s) else None
            self._pacer.wait(pts_s)
        return None

    def close(self) -> None:
        """End a wait and every later `read`."""
        self._pacer.stop()


def _number(
    url: CameraUrl, name: str, parse: Callable[[str], _Number], default: _Number, lowest: _Number, highest: _Number
) -> _Number:
    text = url.options.get(name)
    if text is None:
        return default
    try:
        value = parse(text)
    except ValueError:
        raise _refused(name, text) from None
    if not lowest <= value <= highest:
        raise _refused(name, text)
    return value


def _size(url: CameraUrl) -> tuple[int, int]:
    text = url.options.get("size", "1280x720")
    match = re.fullmatch(r"([0-9]{3,4})x([0-9]{3,4})", text)
    if match is None:
        raise _refused("size", text)
    width, height = int(match[1]), int(match[2])
    if width % 2 or height % 2 or not (320 <= width <= 3840 and 180 <= height <= 2160):
        raise _refused("size", text)
    return width, height


def _refused(name: str, text: str) -> InvalidInputError:
    return InvalidInputError(f"{name} of a demo URL is {OPTIONS[name]}, not {text!r}")
