"""The fonts that the pictures are written in: files of wheels, so that they are the same on every machine."""

from __future__ import annotations

from pathlib import Path

from ipa.live.ocr import file_of

FONTS = (
    ("font-roboto", "font_roboto/files/Roboto-Regular.ttf"),
    ("font-roboto", "font_roboto/files/Roboto-LightItalic.ttf"),
    ("font-source-serif-pro", "font_source_serif_pro/files/SourceSerifPro-Regular.ttf"),
    ("font-source-serif-pro", "font_source_serif_pro/files/SourceSerifPro-BoldIt.ttf"),
    ("font-caladea", "font_caladea/files/Caladea-Regular.ttf"),
    ("font-caladea", "font_caladea/files/Caladea-Italic.ttf"),
    ("font-hanken-grotesk", "font_hanken_grotesk/files/HankenGrotesk-Medium.otf"),
    ("font-hanken-grotesk", "font_hanken_grotesk/files/HankenGrotesk-Bold.otf"),
)
"""Distribution and file: sans and serif, upright and italic, light and bold."""


def font_files() -> list[Path]:
    """The files. Raises WheelError if one is not installed."""
    return [file_of(*each) for each in FONTS]
