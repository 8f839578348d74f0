"""The only place that knows Triton: a frame goes in, `Detections` come out."""

from gateway.inference.link import Link
from gateway.inference.runtime import TritonRuntime

__all__ = ["Link", "TritonRuntime"]
