"""Pictures that show a violation."""

from gateway.evidence.picture import Mark, render_jpeg

__all__ = ["Mark", "render_jpeg"]
