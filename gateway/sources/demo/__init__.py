"""A rendered street with walking people and known ground truth, for a machine that has no camera."""

from gateway.sources.demo.source import DemoSource
from gateway.sources.demo.street import DEMO_ZONE, DemoStreet, Person

__all__ = ["DEMO_ZONE", "DemoSource", "DemoStreet", "Person"]
