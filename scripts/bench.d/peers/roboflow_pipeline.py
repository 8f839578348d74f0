"""Roboflow's InferencePipeline with custom logic that calls Triton over gRPC."""

import os
from collections.abc import Sequence
from typing import Any

import cv2
from common import MODEL, Tally, TimedCapture, arguments, detections, tensor

cv2.VideoCapture = TimedCapture
os.environ.setdefault("TELEMETRY_OPT_OUT", "True")
import numpy as np  # noqa: E402
import tritonclient.grpc as triton  # noqa: E402
import without_torchvision  # noqa: E402, F401
from inference import InferencePipeline  # noqa: E402


def main() -> None:
    """Run until killed."""
    options, tally = arguments(), Tally()
    client = triton.InferenceServerClient(options.grpc)

    def infer(pictures: Sequence[Any]) -> list[np.ndarray]:
        content = np.concatenate([tensor(picture.image) for picture in pictures])
        tensor_in = triton.InferInput("images", content.shape, "FP32")
        tensor_in.set_data_from_numpy(content)
        answer = client.infer(MODEL, [tensor_in]).as_numpy("output0")
        return [detections(rows) for rows in answer]

    def seen(_: object, pictures: Any) -> None:  # noqa: ANN401
        for picture in pictures if isinstance(pictures, list) else [pictures]:
            decoded_s = None if picture is None else TimedCapture.decoded_s(picture.image)
            if decoded_s is not None:
                tally.result(picture.source_id or 0, decoded_s)

    pipeline = InferencePipeline.init_with_custom_logic(
        video_reference=[options.clip] * options.cameras, on_video_frame=infer, on_prediction=seen
    )
    pipeline.start()
    pipeline.join()


main()
