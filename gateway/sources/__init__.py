"""Where frames come from: one class per kind of camera URL, and the thread that reads it."""

from gateway.sources.factory import open_source
from gateway.sources.media import MediaSettings
from gateway.sources.reader import CameraReader
from gateway.sources.vas import VasSession

__all__ = ["CameraReader", "MediaSettings", "VasSession", "open_source"]
