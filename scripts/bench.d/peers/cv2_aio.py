"""OpenCV and tritonclient's asyncio gRPC; cameras are read and scaled in threads."""

import asyncio
from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tritonclient.grpc.aio as triton
from common import MODEL, Tally, arguments, detections, frames, tensor


def next_tensor(stream: Iterator[tuple[np.ndarray, float]]) -> tuple[np.ndarray, float]:
    """The next picture, scaled."""
    picture, decoded_s = next(stream)
    return tensor(picture), decoded_s


async def camera(options: Namespace, number: int, tally: Tally, client: triton.InferenceServerClient) -> None:
    """One camera for ever."""
    stream = frames(options, number)
    while True:
        content, decoded_s = await asyncio.to_thread(next_tensor, stream)
        tensor_in = triton.InferInput("images", content.shape, "FP32")
        tensor_in.set_data_from_numpy(content)
        answer = await client.infer(MODEL, [tensor_in])
        detections(answer.as_numpy("output0")[0])
        tally.result(number, decoded_s)


async def main() -> None:
    """Run until killed."""
    options, tally = arguments(), Tally()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(max(4, options.cameras)))
    client = triton.InferenceServerClient(options.grpc)
    await asyncio.gather(*(camera(options, number, tally, client) for number in range(options.cameras)))


asyncio.run(main())
