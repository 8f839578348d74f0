"""The composition root: the only place that chooses implementations, wires them, and starts and stops them."""

from gateway.app.serving import serve

__all__ = ["serve"]
