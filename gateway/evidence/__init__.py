"""Pictures that show a violation."""

from gateway.evidence.picture import Drawing, Mark, Pictures, take_pictures

__all__ = ["Drawing", "Mark", "Pictures", "take_pictures"]
