"""From the picture to the ground, in metres."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gateway.domain.definitions import GroundPoint

Float64Array = npt.NDArray[np.float64]


def on_ground(points: Float64Array, ground: tuple[GroundPoint, ...]) -> Float64Array:
    """`(n, 2)` places in metres of `(n, 2)` points in fractions of the picture."""
    mapped = np.hstack([points, np.ones((len(points), 1))]) @ _homography(ground).T
    places: Float64Array = mapped[:, :2] / mapped[:, 2:]
    return places


@lru_cache(maxsize=256)
def _homography(ground: tuple[GroundPoint, ...]) -> Float64Array:
    """`(3, 3)`, by the direct linear transform (Hartley and Zisserman, Multiple View Geometry, 4.1)."""
    rows: list[list[float]] = []
    for point in ground:
        (x, y), (u, v) = point.picture, point.metres
        rows.append([-x, -y, -1, 0, 0, 0, u * x, u * y, u])
        rows.append([0, 0, 0, -x, -y, -1, v * x, v * y, v])
    solution: Float64Array = np.linalg.svd(np.asarray(rows))[2][-1]
    return solution.reshape(3, 3)
