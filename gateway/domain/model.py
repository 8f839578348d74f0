"""What the gateway has to know of a model to schedule frames to it."""

from enum import StrEnum

import msgspec

from gateway.domain.letterbox import LetterboxMode


class Task(StrEnum):
    """What a model's output means (`ruth.task`)."""

    DETECT = "detect"
    POSE = "pose"
    CLASSIFY = "classify"


class ModelContract(msgspec.Struct, frozen=True, kw_only=True):
    """The `ruth.*` parameters and tensors of one served model version.

    Attributes:
        name: Triton's name of the model.
        version: The version that answers.
        task: What the output means.
        input_wh: Width and height of the NV12 input canvas in pixels, both even.
        letterbox: How a picture is fitted into the canvas.
        pad_luma: Luma of the canvas outside the picture, 0..255; the chroma there is neutral (128).
        labels: Class names.
        keypoints: Keypoint names, in the order of the output columns.
        max_batch_size: Largest batch of one request.
        max_detections: Rows of the output `detections`.
        sha256: Hash of the model file, from its converter.
    """

    name: str
    version: str
    task: Task
    input_wh: tuple[int, int]
    letterbox: LetterboxMode
    pad_luma: int
    labels: tuple[str, ...]
    keypoints: tuple[str, ...] = ()
    max_batch_size: int = 1
    max_detections: int = 0
    sha256: str = ""

    @property
    def frame_bytes(self) -> int:
        """Bytes of one NV12 canvas."""
        width, height = self.input_wh
        return width * height * 3 // 2
