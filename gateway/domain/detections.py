"""What a model saw in one frame."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The objects found in one frame, best score first.

    Attributes:
        xyxy: `(n, 4)` float32: x1, y1, x2, y2 in pixels of the source frame.
        score: `(n,)` float32 in 0..1.
        class_id: `(n,)` int32, an index into `labels`.
        labels: The model's class names.
        keypoints: `(n, K, 3)` float32: x, y in source pixels and a score in 0..1; K is 0 where the model has none.
    """

    xyxy: Float32Array
    score: Float32Array
    class_id: Int32Array
    labels: tuple[str, ...]
    keypoints: Float32Array

    def __post_init__(self) -> None:
        """Check that the arrays belong together.

        Raises:
            ValueError: Shapes or class indices contradict each other.
        """
        n = len(self.xyxy)
        if self.xyxy.shape != (n, 4) or self.score.shape != (n,) or self.class_id.shape != (n,):
            raise ValueError(f"{self.xyxy.shape} boxes, {self.score.shape} scores, {self.class_id.shape} classes")
        if self.keypoints.ndim != 3 or self.keypoints.shape[0] != n or self.keypoints.shape[2] != 3:
            raise ValueError(f"keypoints are {self.keypoints.shape}, not ({n}, K, 3)")
        classes = self.class_id.tolist()  # for the few there are, faster than NumPy's reductions
        if n and not (min(classes) >= 0 and max(classes) < len(self.labels)):
            raise ValueError(f"class {max(classes)} is outside the {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.xyxy)

    @classmethod
    def empty(cls, labels: tuple[str, ...] = ()) -> "Detections":
        """Nothing was found: a value like any other."""
        return cls(
            xyxy=np.zeros((0, 4), np.float32),
            score=np.zeros(0, np.float32),
            class_id=np.zeros(0, np.int32),
            labels=labels,
            keypoints=np.zeros((0, 0, 3), np.float32),
        )

    def label(self, i: int) -> str:
        """Class name of object `i`."""
        return self.labels[int(self.class_id[i])]
