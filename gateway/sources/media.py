"""What the operator of a gateway decides for all of its cameras."""

from dataclasses import dataclass
from pathlib import Path

from av.codec.hwaccel import HWAccel

from gateway.domain.media import HardwareDecoding
from gateway.errors import InvalidInputError


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

    def check_file(self, path: Path) -> None:
        """Refuse a file outside the media folder, wherever links lead.

        Raises:
            InvalidInputError: It lies outside.
        """
        if self.folder is not None and not path.resolve().is_relative_to(self.folder.resolve()):
            raise InvalidInputError(f"{path} lies outside the media folder {self.folder} (RUTH_AI_MEDIA_DIR)")
