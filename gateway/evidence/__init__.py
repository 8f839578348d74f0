"""Pictures and clips that show a violation."""

from gateway.evidence.clip import first_picture_at, remux
from gateway.evidence.picture import Drawing, Mark, Pictures, take_pictures

__all__ = ["Drawing", "Mark", "Pictures", "first_picture_at", "remux", "take_pictures"]
