"""Pictures and clips that show a violation."""

from gateway.evidence.clip import remux
from gateway.evidence.picture import Drawing, Mark, Pictures, take_pictures

__all__ = ["Drawing", "Mark", "Pictures", "remux", "take_pictures"]
