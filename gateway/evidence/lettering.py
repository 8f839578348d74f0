"""Text as pixels, in whatever script a camera, rule or label is named."""

import functools
import logging
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gateway.domain.frame import UInt8Array

_logger = logging.getLogger(__name__)

FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc", "FreeSans.ttf")
"""Looked for in the system's font folders; the first that has every letter of a text writes it."""

_NO_LETTER = "\uffff"
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def text_coverage(text: str, size_px: int) -> UInt8Array:
    """How much of each pixel a line of text covers.

    Letters that no installed font has are drawn as the font's sign for a missing one, a line break as a space.

    Args:
        text: What is to be written.
        size_px: Size of the font.

    Returns:
        `(height, width)` uint8, 0 outside the letters, 255 inside.
    """
    text = " ".join(text.splitlines())  # Pillow lays out a single line
    font = _font_for(text, size_px)
    _, _, right, _ = font.getbbox(text)
    return np.asarray(_draw(text, font, (max(1, round(right)), round(size_px * 1.2))), np.uint8)


def _draw(text: str, font: _Font, size_wh: tuple[int, int]) -> Image.Image:
    picture = Image.new("L", size_wh)
    ImageDraw.Draw(picture).text((0, 0), text, fill=255, font=font)
    return picture


def _font_for(text: str, size_px: int) -> _Font:
    fonts = _fonts(size_px)
    return next((font for font in fonts if _has_all(font, text)), fonts[0])


@functools.lru_cache(maxsize=16)
def _fonts(size_px: int) -> Sequence[_Font]:
    found: list[_Font] = []
    for name in FONTS:
        try:
            found.append(ImageFont.truetype(name, size_px))
        except OSError:
            continue
    if not found:
        _logger.warning("none of the fonts %s is installed; evidence can show ASCII letters alone", ", ".join(FONTS))
        found.append(ImageFont.load_default(size_px))
    return found


def _has_all(font: _Font, text: str) -> bool:
    return all(_has(font, letter) for letter in set(text) if letter.isprintable() and not letter.isspace())


@functools.lru_cache(maxsize=4096)
def _has(font: _Font, letter: str) -> bool:
    return _draw(letter, font, (64, 64)).tobytes() != _draw(_NO_LETTER, font, (64, 64)).tobytes()
