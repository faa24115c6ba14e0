"""Pages to read: rendered lines of text, blurred, rotated and noisy, with their texts.

With one version of Pillow (which includes FreeType and JPEG), page k of a seed always has the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import cos, radians, sin
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from ipa.studies.examples.ocr.lines import Box
from ipa.studies.examples.ocr.model_folder import check_new, file_of

if TYPE_CHECKING:
    from PIL.Image import Image

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
"""Distribution and file, the same on every machine: sans and serif, upright and italic, light and bold."""

SIZE = (960, 720)
MOST_LINES = 5
FONT_SIZES = (12, 34)
ANGLES_DEG = (-4.0, 4.0)
BLURS = (0.3, 2.6)
"""Standard deviation of the blur [pixels]."""
NOISES = (1.0, 14.0)
"""Standard deviation of the noise [grey levels of 255]."""
QUALITY = 80
MARGIN = 0.2
"""The margin of a labelled box around the ink, as a fraction of the ink's height."""
LABELS = "labels.jsonl"

WORDS: Sequence[str] = tuple(
    """
able about above across after again along amber april around autumn basket before below bridge bright brown button
candle carbon castle centre circle clear cloud coast copper corner cotton count cover cross daily dance dark desert
dinner double dream early east edge eight empty engine evening every field final first flame flower forest four fresh
garden gentle glass gold grain grand grass green group harbour heavy hidden hill honey horse hour house iron island
ivory jacket january jewel journey juice jungle kettle kind kitchen ladder lake large latin lemon letter level light
linen little local lunar maple marble market meadow metal middle minute mirror modern moment morning mountain narrow
nature needle north number ocean office olive opera orange order oxygen paint palace paper pearl pencil pepper pilot
planet pocket powder quarter quick quiet radio railway rain rapid ribbon river road round royal salt sample sand
school season second seven shadow sharp shell short silver simple sister small snow solid sound south spring square
station stone storm street sugar summer table tall tea temple thin third timber tower travel tunnel twelve under
valley velvet village violet voice warm water west wheel white wide wild window winter wooden yellow young zebra zero
""".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Line:
    """A line of text and its place."""

    text: str
    box: Box


@dataclass(frozen=True)
class ScannedPage:
    """A page: its picture file (JPEG), and its lines from the top."""

    picture: bytes
    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        """The text of the whole page, which a perfect reader answers."""
        return "\n".join(line.text for line in self.lines)


def pages(count: int, seed: int) -> Iterator[ScannedPage]:
    """The first pages of a seed. Raises WheelError if a font is not installed."""
    fonts = [file_of(*font) for font in FONTS]
    return (_page(Random(f"page {seed} {index}"), fonts) for index in range(count))


def _page(rng: Random, fonts: list[Path]) -> ScannedPage:
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    paper, ink = rng.randint(190, 245), rng.randint(10, 110)
    picture = Image.new("L", SIZE, paper)
    draw = ImageDraw.Draw(picture)
    angle = radians(rng.uniform(*ANGLES_DEG))
    placed: list[Line] = []
    top = rng.randint(40, 90)
    for _ in range(rng.randint(1, MOST_LINES)):
        font = ImageFont.truetype(rng.choice(fonts), rng.randint(*FONT_SIZES))
        text = _text(rng)
        left, above, right, below = font.getbbox(text)
        width, height = right - left, below - above
        x = rng.randint(40, max(SIZE[0] - 40 - int(width), 40))
        draw.text((x - left, top - above), text, font=font, fill=ink)
        beyond = 2 * MARGIN * height
        box = Box(x + width / 2, top + height / 2, width + beyond, height + beyond, 0.0)
        placed.append(Line(text, _turned(box, angle)))
        top += int(height) + rng.randint(40, 110)
        if top > SIZE[1] - 80:
            break
    turned = picture.rotate(-angle * 180 / np.pi, Image.Resampling.BICUBIC, fillcolor=paper)
    blurred = turned.filter(ImageFilter.GaussianBlur(rng.uniform(*BLURS)))
    return ScannedPage(_noisy(blurred, rng), tuple(placed))


def _text(rng: Random) -> str:
    """One or two words, some capitalised, or a word and a number."""
    words = [rng.choice(WORDS) for _ in range(rng.randint(1, 2))]
    words = [word.capitalize() if rng.random() < 0.3 else word for word in words]
    if len(words) == 1 and rng.random() < 0.5:
        words.insert(rng.randint(0, 1), str(rng.randint(10, 9_999)))
    return " ".join(words)


def _turned(box: Box, angle: float) -> Box:
    """A level box after the page has been rotated clockwise about its middle."""
    x, y = box.x - SIZE[0] / 2, box.y - SIZE[1] / 2
    turned = x * cos(angle) - y * sin(angle), x * sin(angle) + y * cos(angle)
    return Box(turned[0] + SIZE[0] / 2, turned[1] + SIZE[1] / 2, box.width, box.height, angle)


def _noisy(picture: Image, rng: Random) -> bytes:
    from PIL import Image as Images

    noise = np.random.Generator(np.random.PCG64(rng.getrandbits(64))).standard_normal((SIZE[1], SIZE[0]))
    pixels = np.asarray(picture) + rng.uniform(*NOISES) * noise
    file = BytesIO()
    Images.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


# ---- folders ----


def write_pages(count: int, seed: int, folder: Path) -> None:
    """Write pages to a new folder: `NUMBER.jpg`, and `labels.jsonl` with the texts and places of lines.

    Raises InputError if the folder is not empty.
    """
    check_new(folder)
    folder.mkdir(parents=True, exist_ok=True)
    labels = []
    for index, page in enumerate(pages(count, seed)):
        name = f"{index:04d}.jpg"
        (folder / name).write_bytes(page.picture)
        lines = [{"text": line.text, "corners": _rounded(line.box)} for line in page.lines]
        labels.append(json.dumps({"file": name, "answer": page.text, "lines": lines}))
    (folder / LABELS).write_text("\n".join(labels) + "\n", encoding="utf-8")


def _rounded(box: Box) -> list[list[float]]:
    return [[round(x, 2), round(y, 2)] for x, y in box.corners]
