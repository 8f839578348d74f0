"""Cameras on this machine's USB or CSI: `v4l2:///dev/video0?size=1280x720&fps=15&format=mjpeg`."""

import re
import stat
from pathlib import Path

import av.error

from gateway.domain.clock import Clock
from gateway.errors import InvalidInputError, SourceError, SourceRefusedError, SourceUnavailableError
from gateway.sources.feed import Patience
from gateway.sources.media import MediaSettings
from gateway.sources.stream import StreamConnection, StreamSource, open_input
from gateway.sources.urls import CameraUrl, check_options

OPTIONS = {"size": "WIDTHxHEIGHT", "fps": "1 to 240", "format": "mjpeg|yuyv422|h264|…, as the device offers it"}
_DEVICE = re.compile(r"/dev/(?:video\d{1,3}|v4l/by-(?:id|path)/[\w.:+-]{1,200})")
_VALUES = {
    "size": re.compile(r"\d{2,5}x\d{2,5}"),
    "fps": re.compile(r"\d{1,3}"),
    "format": re.compile(r"[a-z0-9]{2,16}"),
}
_FFMPEG_NAMES = {"size": "video_size", "fps": "framerate", "format": "input_format"}


def v4l2_source(url: CameraUrl, clock: Clock, media: MediaSettings, patience: Patience | None = None) -> StreamSource:
    """Make the source of a device.

    Raises:
        InvalidInputError: It is no video device, or an option can't be used.
    """
    check_options(url, OPTIONS)
    if not _DEVICE.fullmatch(url.path):
        raise InvalidInputError(f"a v4l2 URL names a video device, as in v4l2:///dev/video0, not {url.path!r}")
    for name, value in url.options.items():
        if not _VALUES[name].fullmatch(value):
            raise InvalidInputError(f"{name} of a v4l2 URL is {OPTIONS[name]}, not {value!r}")
    device, waiting = Path(url.path), patience or Patience()
    options = {_FFMPEG_NAMES[name]: value for name, value in url.options.items()}

    def explain(error: av.error.FFmpegError) -> SourceError:
        return _explain(error, device)

    def connect() -> StreamConnection:
        _check_device(device)
        try:
            container = open_input(str(device), options, waiting, form="v4l2", hardware=media.hardware_decoder())
        except av.error.FFmpegError as error:
            raise explain(error) from error
        return StreamConnection(container, str(device), explain)

    return StreamSource(str(device), connect, clock, waiting)


def _check_device(device: Path) -> None:
    try:
        mode = device.stat().st_mode
    except OSError as error:
        raise SourceUnavailableError(f"there is no device {device}: is the camera plugged in?") from error
    if not stat.S_ISCHR(mode):
        raise SourceRefusedError(f"{device} is no device")


def _explain(error: av.error.FFmpegError, device: Path) -> SourceError:
    match error:
        case av.error.PermissionError():
            return SourceRefusedError(f"{device} may not be opened: add the gateway's user to the group video")
        case av.error.ArgumentError() | av.error.InvalidDataError() | av.error.UndefinedError():
            return SourceRefusedError(f"{device} isn't a camera, or doesn't offer this size, rate or format")
        case _ if error.errno == 16:  # EBUSY
            return SourceUnavailableError(f"{device} is in use by another program")
        case _:
            return SourceUnavailableError(f"{device} can't be read: {error.strerror}")
