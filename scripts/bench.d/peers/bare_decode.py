"""PyAV alone, one thread: the least that a frame costs anybody."""

import sys
import time

import av


def main(clip: str) -> None:
    """Decode all of it; print milliseconds of processor time a frame."""
    with av.open(clip) as container:
        container.streams.video[0].codec_context.thread_count = 1
        started_s = time.process_time()
        frames = sum(1 for _ in container.decode(video=0))
        print((time.process_time() - started_s) / frames * 1000)


main(sys.argv[1])
