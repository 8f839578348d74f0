"""The way of a frame: the only package that knows the order of the stages."""

from gateway.pipeline.core import Pipeline

__all__ = ["Pipeline"]
