"""How streams may be decoded."""

from enum import StrEnum


class HardwareDecoding(StrEnum):
    """Where streams are decoded."""

    NONE = "none"
    CUDA = "cuda"
