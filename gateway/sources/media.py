"""What the operator of a gateway decides for all of its cameras."""

from dataclasses import dataclass
from pathlib import Path

import av.error
from av.codec import Codec
from av.codec.hwaccel import HWAccel

from gateway.domain.media import HardwareDecoding
from gateway.errors import ConfigurationError, InvalidInputError


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """What the operator decides for all cameras.

    Attributes:
        folder: Files of cameras must lie inside it; None for anywhere.
        hardware: Where streams are decoded; what the hardware can't decode is decoded by the CPU.
    """

    folder: Path | None = None
    hardware: HardwareDecoding = HardwareDecoding.NONE

    def hardware_decoder(self) -> HWAccel | None:
        """For `av.open`; None to decode by the CPU."""
        if self.hardware is HardwareDecoding.NONE:
            return None
        return HWAccel(self.hardware.value, allow_software_fallback=True)

    def check_hardware(self) -> None:
        """Find out now whether there is such hardware: FFmpeg would refuse every stream later, and not say why.

        Raises:
            ConfigurationError: There is none, or its driver can't be used.
        """
        if (hardware := self.hardware_decoder()) is None:
            return
        try:
            hardware.create(Codec("h264", "r"))
        except (av.error.FFmpegError, NotImplementedError, RuntimeError) as error:
            raise ConfigurationError(
                f"RUTH_AI_HARDWARE_DECODING is {self.hardware.value}, but no such device can be opened here; "
                "install its driver, or decode by the CPU: RUTH_AI_HARDWARE_DECODING=none"
            ) from error

    def check_file(self, path: Path) -> None:
        """Refuse a file outside the media folder, wherever links lead.

        Raises:
            InvalidInputError: It lies outside, or leads nowhere.
        """
        if self.folder is None:
            return
        try:
            inside = path.resolve().is_relative_to(self.folder.resolve())
        except (OSError, ValueError, RuntimeError) as error:  # links in a circle, a zero in a name
            raise InvalidInputError(f"{str(path)!r} leads to no file") from error
        if not inside:
            raise InvalidInputError(f"{path} lies outside the media folder {self.folder} (RUTH_AI_MEDIA_DIR)")
