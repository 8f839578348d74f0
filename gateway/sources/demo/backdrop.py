"""The street without people: sky, houses, pavement, road, parked cars. Painted once."""

import cv2
import numpy as np
import numpy.typing as npt

from gateway.sources.demo.walk import BGR

Picture = npt.NDArray[np.uint8]

FACADE_FOOT = 0.53
"""Where the houses stand on the pavement. Upright lengths there: 0.115 picture heights a metre."""

SHOP_HEIGHT = 0.34
KERB = 0.915

WALLS: tuple[BGR, ...] = ((150, 172, 190), (168, 178, 184), (140, 158, 182), (160, 176, 172), (156, 162, 176))
AWNINGS: tuple[BGR, ...] = ((112, 124, 164), (128, 146, 118), (158, 134, 112))


def paint(size_wh: tuple[int, int], seed: int) -> Picture:
    """Paint the empty street as a BGR picture `(H, W, 3)` uint8; the same seed gives the same street."""
    width, height = size_wh
    rng = np.random.default_rng((seed, 7))
    canvas = np.empty((height, width, 3), np.uint8)
    _sky(canvas)
    _houses(canvas, rng)
    _pavement(canvas)
    _road(canvas)
    _parked_cars(canvas)
    return _with_grain(canvas, rng)


def _rectangle(canvas: Picture, box: tuple[float, float, float, float], colour: BGR) -> None:
    """Fill `x1, y1, x2, y2`, all in units of the picture's height."""
    h = canvas.shape[0]
    x1, y1, x2, y2 = (round(v * h) for v in box)
    cv2.rectangle(canvas, (x1, y1), (x2 - 1, y2 - 1), colour, cv2.FILLED)


def _vertical_blend(canvas: Picture, top: float, bottom: float, upper: BGR, lower: BGR) -> None:
    h = canvas.shape[0]
    y1, y2 = round(top * h), round(bottom * h)
    mix = np.linspace(0, 1, max(1, y2 - y1))[:, None, None]
    canvas[y1:y2] = (np.array(upper) * (1 - mix) + np.array(lower) * mix).astype(np.uint8)


def _sky(canvas: Picture) -> None:
    _vertical_blend(canvas, 0, 0.2, (236, 208, 176), (242, 228, 210))


def _houses(canvas: Picture, rng: np.random.Generator) -> None:
    right = canvas.shape[1] / canvas.shape[0]
    x, index = float(rng.uniform(-0.3, 0.0)), int(rng.integers(len(WALLS)))
    while x < right:
        width = float(rng.uniform(0.55, 0.75))
        _upper_floor(canvas, x, width, float(rng.uniform(0.015, 0.06)), WALLS[index % len(WALLS)])
        _shop(canvas, x, width, WALLS[index % len(WALLS)], AWNINGS[index % len(AWNINGS)])
        x, index = x + width, index + 1


def _upper_floor(canvas: Picture, x: float, width: float, roof: float, wall: BGR) -> None:
    _rectangle(canvas, (x, roof, x + width, FACADE_FOOT), wall)
    _rectangle(canvas, (x - 0.006, roof - 0.012, x + width + 0.006, roof + 0.006), _tint(wall, 0.84))
    count = max(2, round(width / 0.2))
    for n in range(count):
        middle = x + (n + 0.5) * width / count
        _rectangle(canvas, (middle - 0.052, roof + 0.028, middle + 0.052, roof + 0.128), _tint(wall, 1.08))
        _rectangle(canvas, (middle - 0.044, roof + 0.034, middle + 0.044, roof + 0.122), _tint(wall, 0.80))
        _rectangle(canvas, (middle - 0.044, roof + 0.072, middle + 0.044, roof + 0.078), _tint(wall, 1.04))


def _shop(canvas: Picture, x: float, width: float, wall: BGR, awning: BGR) -> None:
    top, left, right = FACADE_FOOT - SHOP_HEIGHT, x + 0.03, x + width - 0.03
    _rectangle(canvas, (x, top, x + width, top + 0.012), _tint(wall, 0.88))
    _rectangle(canvas, (left, top + 0.075, right, FACADE_FOOT - 0.045), _tint(wall, 0.83))
    _rectangle(canvas, (left + 0.012, top + 0.10, right - 0.13, FACADE_FOOT - 0.06), _tint(wall, 0.76))
    _rectangle(canvas, (right - 0.115, top + 0.10, right - 0.01, FACADE_FOOT), _tint(wall, 0.72))
    _rectangle(canvas, (right - 0.10, top + 0.115, right - 0.025, FACADE_FOOT - 0.11), _tint(wall, 0.79))
    _rectangle(canvas, (left - 0.012, top + 0.03, right + 0.012, top + 0.085), awning)
    _rectangle(canvas, (left - 0.012, top + 0.085, right + 0.012, top + 0.097), _tint(awning, 1.12))


def _pavement(canvas: Picture) -> None:
    h, w = canvas.shape[:2]
    _vertical_blend(canvas, FACADE_FOOT, KERB, (172, 176, 180), (190, 194, 197))
    joint = (164, 168, 171)
    for y in FACADE_FOOT + (KERB - FACADE_FOOT) * np.array([0.08, 0.2, 0.36, 0.56, 0.8]):
        cv2.line(canvas, (0, round(y * h)), (w, round(y * h)), joint, 1, cv2.LINE_AA)
    vanishing_x = w / 2
    for foot in np.arange(-3.0, 3.0 + w / h, 0.26) * h:
        head = vanishing_x + (foot - vanishing_x) * 0.52
        cv2.line(canvas, (round(head), round(FACADE_FOOT * h)), (round(foot), round(KERB * h)), joint, 1, cv2.LINE_AA)


def _road(canvas: Picture) -> None:
    h, w = canvas.shape[:2]
    _vertical_blend(canvas, KERB, 1.0, (112, 110, 108), (96, 94, 92))
    _rectangle(canvas, (0, KERB, w / h, KERB + 0.014), (158, 160, 162))
    for x in np.arange(0.1, w / h, 0.5):
        _rectangle(canvas, (x, 0.972, x + 0.24, 0.982), (200, 204, 206))


def _parked_cars(canvas: Picture) -> None:
    right = canvas.shape[1] / canvas.shape[0]
    _car(canvas, -0.08, (138, 122, 106))
    _car(canvas, right - 0.42, (112, 116, 148))


CAR_LENGTH = 0.5
CAR_ROOF = ((0.21, -0.20), (0.32, -0.335), (0.66, -0.335), (0.82, -0.20))
CAR_GLASS = ((0.26, -0.205), (0.34, -0.305), (0.64, -0.305), (0.76, -0.205))
CAR_HULL = ((0.0, -0.07), (0.02, -0.175), (0.22, -0.21), (0.81, -0.21), (0.98, -0.16), (1.0, -0.07))
CAR_WHEELS = (0.2, 0.8)


def _car(canvas: Picture, x: float, body: BGR) -> None:
    """A car parked against the houses, seen from the side; shapes are in car lengths."""
    h = canvas.shape[0]
    origin = np.array((x, FACADE_FOOT + 0.025)) * h
    length = CAR_LENGTH * h
    for shape, colour in ((CAR_ROOF, body), (CAR_HULL, body), (CAR_GLASS, _tint(body, 0.66))):
        points = np.rint((origin + np.array(shape) * length) * 16).astype(np.int32)
        cv2.fillPoly(canvas, [points], colour, cv2.LINE_AA, 4)
    for wheel in CAR_WHEELS:
        centre = np.rint(origin + np.array((wheel, -0.07)) * length).astype(int).tolist()
        for radius, grey in ((0.075, 62), (0.042, 132)):
            cv2.circle(canvas, centre, round(radius * length), (grey, grey, grey), cv2.FILLED, cv2.LINE_AA)


def _with_grain(canvas: Picture, rng: np.random.Generator) -> Picture:
    """Add the fine and the coarse unevenness of real surfaces, a few grey levels each."""
    h, w = canvas.shape[:2]
    fine = cv2.GaussianBlur(rng.normal(0, 5.0, (h, w)).astype(np.float32), (0, 0), 1.0)
    spots = rng.normal(0, 2.5, (h // 20 + 1, w // 20 + 1)).astype(np.float32)
    coarse = cv2.resize(spots, (w, h), interpolation=cv2.INTER_CUBIC)
    coarse[: round(0.06 * h)] = 0
    grained = canvas.astype(np.float32) + (fine + coarse)[..., None]
    return np.clip(grained, 0, 255).astype(np.uint8)


def _tint(colour: BGR, factor: float) -> BGR:
    blue, green, red = (min(255, round(channel * factor)) for channel in colour)
    return blue, green, red
