"""Ultralytics' predict on a Triton model; its own loader reads the cameras, and keeps every frame."""

import tempfile

import cv2
from common import MODEL, Tally, TimedCapture, arguments

cv2.VideoCapture = TimedCapture

import without_torchvision  # noqa: E402, F401
from ultralytics import YOLO  # noqa: E402


def main() -> None:
    """Run until the clip ends, or killed."""
    options, tally = arguments(), Tally()
    with tempfile.NamedTemporaryFile("w", suffix=".streams") as listing:
        listing.write("\n".join([options.clip] * options.cameras))
        listing.flush()
        model = YOLO(f"http://{options.http}/{MODEL}", task="detect")
        results = model.predict(listing.name, stream=True, stream_buffer=True, imgsz=320, verbose=False, device="cpu")
        for number, result in enumerate(results):
            decoded_s = TimedCapture.decoded_s(result.orig_img)
            if decoded_s is not None:
                tally.result(number % options.cameras, decoded_s)


main()
