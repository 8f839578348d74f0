"""OpenCV and tritonclient over gRPC, a thread for each camera."""

import threading
from argparse import Namespace

import tritonclient.grpc as triton
from common import MODEL, Tally, arguments, detections, frames, tensor


def camera(options: Namespace, number: int, tally: Tally) -> None:
    """One camera for ever."""
    client = triton.InferenceServerClient(options.grpc)
    for picture, decoded_s in frames(options, number):
        content = tensor(picture)
        tensor_in = triton.InferInput("images", content.shape, "FP32")
        tensor_in.set_data_from_numpy(content)
        answer = client.infer(MODEL, [tensor_in])
        detections(answer.as_numpy("output0")[0])
        tally.result(number, decoded_s)


def main() -> None:
    """Run until killed."""
    options, tally = arguments(), Tally()
    for number in range(options.cameras):
        threading.Thread(target=camera, args=(options, number, tally), daemon=True).start()
    threading.Event().wait()


main()
