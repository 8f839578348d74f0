"""The rendered street: frame k as planes, and what is true of it."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gateway.sources.demo import backdrop
from gateway.sources.demo.figure import Box, Figure, pose
from gateway.sources.demo.painting import draw, draw_shadow, shadow_box
from gateway.sources.demo.walk import STRIDE, WAY, Walk, walks_at

DEMO_ZONE: tuple[tuple[float, float], ...] = ((0.30, 0.62), (0.70, 0.62), (0.70, 0.95), (0.30, 0.95))
"""The watched part of the pavement: a polygon in fractions of the picture's width and height."""

Planes = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Person:
    """A person in one frame.

    Attributes:
        person_id: Unique within a street; the same on every frame of one walk.
        xyxy: Box around the body in pixels, clipped to the picture.
        visible: Share of the unclipped box that is inside the picture and behind no nearer person's box, 0 to 1.
    """

    person_id: int
    xyxy: Box
    visible: float

    @property
    def feet_xy(self) -> tuple[float, float]:
        """Middle of the box's lower edge, in pixels."""
        x1, _, x2, y2 = self.xyxy
        return (x1 + x2) / 2, y2


class DemoStreet:
    """A street with people who walk through it. Frame k is a function of the arguments and k alone.

    In every 20 s some people cross `DEMO_ZONE` for more than 2 s, and it lies empty for more than 3 s.

    Args:
        people: How many people pass in 20 s.
        seed: Chooses the people and the houses.
        size_wh: Width and height of the picture in pixels, both even.
        fps: Frames per second of street time.
    """

    def __init__(
        self, people: int = 3, seed: int = 1, size_wh: tuple[int, int] = (1280, 720), fps: float = 10.0
    ) -> None:
        self.people = people
        self.seed = seed
        self.size_wh = size_wh
        self.fps = fps
        self._backdrop = backdrop.paint(size_wh, seed)
        self._planes = _planes(self._backdrop)

    def render(self, k: int) -> Planes:
        """Frame k as luma `(H, W)` and chroma U, V `(H/2, W/2)`, uint8, BT.601 limited range; arrays of its own."""
        figures = self._figures(k)
        planes = tuple(plane.copy() for plane in self._planes)
        if figures:
            canvas = self._backdrop.copy()
            for figure in figures:
                draw_shadow(canvas, figure.feet_xy, figure.height_px)
            for figure in figures:
                draw(canvas, figure)
            for figure in figures:
                self._convert(canvas, figure, planes)
        return planes[0], planes[1], planes[2]

    def ground_truth(self, k: int) -> tuple[Person, ...]:
        """Who is in frame k, at least in part; those farthest from the viewer first."""
        walks = self._walks(k)
        boxes = [self._figure(walk, k).box() for walk in walks]
        people = [
            Person(walk.person_id, self._clipped(box), _visible(self._clipped(box), box, boxes[i + 1 :]))
            for i, (walk, box) in enumerate(zip(walks, boxes, strict=True))
        ]
        return tuple(person for person in people if person.xyxy[2] > person.xyxy[0])

    def zone_occupied(self, k: int, zone: tuple[tuple[float, float], ...] = DEMO_ZONE) -> bool:
        """Whether anybody's feet are in the zone in frame k."""
        polygon = (np.array(zone) * self.size_wh).astype(np.float32)
        return any(cv2.pointPolygonTest(polygon, p.feet_xy, measureDist=False) >= 0 for p in self.ground_truth(k))

    def _walks(self, k: int) -> list[Walk]:
        return walks_at(self.seed, k / self.fps, self.people)

    def _figures(self, k: int) -> list[Figure]:
        return [self._figure(walk, k) for walk in self._walks(k)]

    def _figure(self, walk: Walk, k: int) -> Figure:
        width, height = self.size_wh
        time_s = k / self.fps
        height_px = walk.height * height
        walked_px = walk.progress(time_s) * WAY * width
        return pose(
            feet_xy=(walk.x(time_s) * width, walk.feet_y * height),
            height_px=height_px,
            phase=2 * np.pi * walked_px / (STRIDE * height_px),
            vigour=walk.vigour(time_s),
            facing=walk.direction,
            look=walk.look,
        )

    def _clipped(self, box: Box) -> Box:
        x1, y1, x2, y2 = np.clip(box, 0, np.array(self.size_wh * 2)).tolist()
        return x1, y1, x2, y2

    def _convert(
        self, canvas: npt.NDArray[np.uint8], figure: Figure, planes: tuple[npt.NDArray[np.uint8], ...]
    ) -> None:
        """Carry what a figure and its shadow touched from the BGR canvas over to the planes."""
        x1, y1, x2, y2 = self._touched(figure)
        if x1 >= x2 or y1 >= y2:
            return
        for plane, patch, step in zip(planes, _planes(canvas[y1:y2, x1:x2]), (1, 2, 2), strict=True):
            plane[y1 // step : y2 // step, x1 // step : x2 // step] = patch

    def _touched(self, figure: Figure) -> tuple[int, int, int, int]:
        x1, y1, x2, y2 = figure.box()
        shadow_x1, _, shadow_x2, shadow_y2 = shadow_box(figure.feet_xy, figure.height_px)
        left, right = min(x1, shadow_x1) - 2, max(x2, shadow_x2) + 2
        corners = np.clip((left, y1 - 2, right, max(y2, shadow_y2) + 2), 0, np.array(self.size_wh * 2))
        first, last = np.floor(corners[:2] / 2) * 2, np.ceil(corners[2:] / 2) * 2
        return int(first[0]), int(first[1]), int(last[0]), int(last[1])


def _planes(bgr: npt.NDArray[np.uint8]) -> Planes:
    """Split a BGR picture of even size into BT.601 limited-range 4:2:0 planes."""
    height, width = bgr.shape[:2]
    i420 = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420).astype(np.uint8, copy=False)
    chroma = i420[height:].reshape(2, height // 2, width // 2)
    return i420[:height], chroma[0], chroma[1]


def _visible(clipped: Box, box: Box, nearer: list[Box]) -> float:
    """Share of a box that is left after clipping and after nearer boxes, counted on a grid of 32 x 32 points."""
    centres = (np.arange(32) + 0.5) / 32
    xs = box[0] + centres * (box[2] - box[0])
    ys = box[1] + centres * (box[3] - box[1])
    seen = _within(xs, ys, clipped)
    for other in nearer:
        seen &= ~_within(xs, ys, other)
    return float(seen.mean())


def _within(xs: npt.NDArray[np.float64], ys: npt.NDArray[np.float64], box: Box) -> npt.NDArray[np.bool_]:
    """Which points of the grid `ys` x `xs` lie in a box."""
    rows, columns = (ys >= box[1]) & (ys <= box[3]), (xs >= box[0]) & (xs <= box[2])
    grid: npt.NDArray[np.bool_] = rows[:, None] & columns[None, :]
    return grid
