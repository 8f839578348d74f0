"""From the picture to the ground, in metres."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gateway.domain.definitions import GroundPoint, Proximity, Speed
from gateway.domain.rule import RuleSettings
from gateway.errors import InvalidInputError

Float64Array = npt.NDArray[np.float64]

FLATTEST = 3e-4
"""Below this ratio of singular values three of four points are in one line as well as anybody can measure."""

FARTHEST_OFF = 0.1
"""A point may be this far from where the others put it, as a fraction of how far the points are spread."""


def on_ground(points: Float64Array, ground: tuple[GroundPoint, ...]) -> Float64Array:
    """`(n, 2)` places in metres of `(n, 2)` points in fractions of the picture."""
    mapped = np.hstack([points, np.ones((len(points), 1))]) @ _homography(ground).T
    places: Float64Array = mapped[:, :2] / mapped[:, 2:]
    return places


def check_ground(settings: RuleSettings) -> None:
    """Refuse a rule whose ground points make no plane that could be measured on.

    Raises:
        InvalidInputError: Too many of them lie in one line, or they are no view of a floor; says what would do.
    """
    definition = settings.definition
    if isinstance(definition, Speed | Proximity) and definition.ground is not None:
        try:
            _check_plane(definition.ground)
        except ValueError as error:
            raise InvalidInputError(f"the rule {settings.name!r}: {error}") from error


def _check_plane(ground: tuple[GroundPoint, ...]) -> None:
    pictures, places = (np.array(points) for points in zip(*((p.picture, p.metres) for p in ground), strict=True))
    spread = float(np.ptp(places, axis=0).max())
    places = (places - places[0]) / spread
    near = tuple(GroundPoint(picture=p.picture, metres=(u, v)) for p, (u, v) in zip(ground, places, strict=True))
    for matrix, rank in ((_equations(near), 8), (_homography(near), 3)):
        singular = np.linalg.svd(matrix, compute_uv=False)
        if singular[rank - 1] < FLATTEST * singular[0]:
            raise ValueError(
                "three of four points of the ground plane lie in one line, which leaves open how it goes on; "
                "give four of which no three do, as the corners of a rectangle on the floor"
            )
    depths = np.hstack([pictures, np.ones((len(pictures), 1))]) @ _homography(near)[2]
    if depths.min() < 0 < depths.max():
        raise ValueError("the ground plane's points are no view of one floor; check which place each of them shows")
    off = np.hypot(*(on_ground(pictures, near) - places).T)
    if off.max() > FARTHEST_OFF:
        raise ValueError(
            f"point {off.argmax() + 1} of the ground plane is {off.max() * spread:.2g} m from where all of them "
            "together put it; check it and its neighbours"
        )


@lru_cache(maxsize=256)
def _homography(ground: tuple[GroundPoint, ...]) -> Float64Array:
    """`(3, 3)`, by the direct linear transform (Hartley and Zisserman, Multiple View Geometry, 4.1)."""
    solution: Float64Array = np.linalg.svd(_equations(ground))[2][-1]
    return solution.reshape(3, 3)


def _equations(ground: tuple[GroundPoint, ...]) -> Float64Array:
    """`(2 n, 9)`, of the transform's nine elements."""
    rows: list[list[float]] = []
    for point in ground:
        (x, y), (u, v) = point.picture, point.metres
        rows.append([-x, -y, -1, 0, 0, 0, u * x, u * y, u])
        rows.append([0, 0, 0, -x, -y, -1, v * x, v * y, v])
    return np.asarray(rows)
