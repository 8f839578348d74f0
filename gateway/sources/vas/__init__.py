"""Cameras of a VAS, a video service that is reached by its documented REST interface and by nothing else."""

from gateway.sources.vas.session import VasSession
from gateway.sources.vas.source import VasSource

__all__ = ["VasSession", "VasSource"]
