"""The only place that knows Triton: a frame goes in, `Detections` come out."""

from gateway.inference.runtime import InferenceResult, TritonRuntime

__all__ = ["InferenceResult", "TritonRuntime"]
