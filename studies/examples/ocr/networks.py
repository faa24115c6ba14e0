"""The networks of PP-OCR: detection finds the lines of text in a picture, recognition reads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ipa.live.serving import ModelError, onnx_session
from ipa.studies.examples.ocr.lines import HEIGHT, Box, Line, boxes_in, cut, packed, unpacked

if TYPE_CHECKING:
    from PIL.Image import Image


STEP = 32
"""Sides are multiples of this, as the network halves them five times."""

MEAN, SPREAD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
"""Mean and standard deviation of the training pictures (ImageNet's), by colour."""

MOST_PIXELS = 50_000_000


class Detection:
    """A model of the stage `detection`: pictures in, their lines cut out.

    `image`: BYTES (n, 1), each a picture file (PNG, JPEG ...) -> `lines`: BYTES (n, 1), each as `lines.packed`. `side`:
    the longer side to which a picture is scaled for the network [pixels]. Pictures of a batch with equal shapes are
    processed together.
    """

    def __init__(self, network: Path, *, side: int, cores: int = 1) -> None:
        import PIL.Image  # noqa: F401 - where it is missing, a server does not start, instead of failing each request

        self._side = side
        self._session = onnx_session(network, cores)
        self._input = self._session.get_inputs()[0].name

    def metadata(self) -> Mapping[str, Any]:
        """Inputs and outputs as the protocol has them."""
        tensor = {"datatype": "BYTES", "shape": [-1, 1]}
        return {"inputs": [{"name": "image", **tensor}], "outputs": [{"name": "lines", **tensor}]}

    def predict(self, inputs: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """The lines of a batch of pictures. Raises ModelError if one is no picture."""
        pictures = [opened(data) for data in inputs["image"].ravel().tolist()]
        elements = [
            packed([cut(picture.convert("L"), box) for box in boxes])
            for picture, boxes in zip(pictures, self.boxes(pictures), strict=True)
        ]
        return {"lines": np.array(elements, dtype=object).reshape(-1, 1)}

    def boxes(self, pictures: Sequence[Image]) -> list[list[Box]]:
        """The boxes of each picture, in its own pixels."""
        network_inputs = [self._network_input(picture) for picture in pictures]
        by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, network_input in enumerate(network_inputs):
            by_shape[network_input.shape].append(index)
        boxes: list[list[Box]] = [[] for _ in pictures]
        for (_, height, width), indices in by_shape.items():
            (maps,) = self._session.run(None, {self._input: np.stack([network_inputs[index] for index in indices])})
            for index, probability in zip(indices, maps[:, 0], strict=True):
                x, y = pictures[index].width / width, pictures[index].height / height
                boxes[index] = [box.scaled(x, y) for box in boxes_in(probability)]
        return boxes

    def _network_input(self, picture: Image) -> npt.NDArray[np.float32]:
        """The network's input: shape (3, height, width)."""
        from PIL import Image as Images

        scale = self._side / max(picture.size)
        width, height = (max(round(size * scale / STEP), 1) * STEP for size in picture.size)
        pixels = np.asarray(picture.resize((width, height), Images.Resampling.BILINEAR), np.float32)
        return np.ascontiguousarray(((pixels / 255.0 - MEAN) / SPREAD).transpose(2, 0, 1))


def opened(data: bytes | str) -> Image:
    """A picture file's content as an RGB picture. Raises ModelError if it is no picture, or too large."""
    from PIL import Image as Images
    from PIL import UnidentifiedImageError

    try:
        picture = Images.open(BytesIO(data if isinstance(data, bytes) else data.encode()))
        if picture.width * picture.height > MOST_PIXELS:
            raise ModelError(f"image: {picture.width} x {picture.height} pixels; allowed: {MOST_PIXELS} in all")
        return picture.convert("RGB")
    except UnidentifiedImageError:
        raise ModelError("image: no picture in a form that is known (PNG, JPEG and the like)") from None
    except (OSError, ValueError, Images.DecompressionBombError) as error:
        raise ModelError(f"image: no picture that can be read: {error}") from None


CHARACTERS_KEY = "character"
"""The key of the characters, one a line, in the metadata of a network's file."""
BLANK = 0


class Recognition:
    """A model of the stage `recognition`: the lines of pictures in, their text out.

    `lines`: BYTES (n, 1), each as `lines.packed` -> `text`: BYTES (n, 1), the lines of a picture joined by newlines.
    `width` of a line for the network [pixels]; longer lines are squeezed, shorter ones padded. All lines of a batch are
    processed together. `characters`: a file with the network's characters, if its own file lacks them.
    """

    def __init__(self, network: Path, *, width: int, characters: Path | None = None, cores: int = 1) -> None:
        import PIL.Image  # noqa: F401 - where it is missing, a server does not start, instead of failing each request

        self._width = width
        self._session = onnx_session(network, cores)
        self._input = self._session.get_inputs()[0].name
        alphabet = self._session.get_modelmeta().custom_metadata_map.get(CHARACTERS_KEY)
        if characters is not None:
            alphabet = characters.read_text(encoding="utf-8")
        if alphabet is None:
            raise ModelError(f"{network}: its metadata have no {CHARACTERS_KEY!r}; give a file of characters")
        self._characters = ["", *alphabet.rstrip("\n").split("\n"), " "]
        classes = self._session.get_outputs()[0].shape[-1]
        if classes != len(self._characters):
            raise ModelError(f"{network}: tells {classes} characters apart; {len(self._characters) - 2} are listed")

    def metadata(self) -> Mapping[str, Any]:
        """Inputs and outputs as the protocol has them."""
        tensor = {"datatype": "BYTES", "shape": [-1, 1]}
        return {"inputs": [{"name": "lines", **tensor}], "outputs": [{"name": "text", **tensor}]}

    def predict(self, inputs: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """The text of the lines of a batch of pictures. Raises ModelError if an element is not as from
        `lines.packed`."""
        try:
            pictures = [unpacked(element) for element in inputs["lines"].ravel().tolist()]
        except (ValueError, TypeError) as error:
            raise ModelError(str(error)) from None
        texts = iter(self.texts([line for lines in pictures for line in lines]))
        pages = ["\n".join(next(texts) for _ in lines).encode() for lines in pictures]
        return {"text": np.array(pages, dtype=object).reshape(-1, 1)}

    def texts(self, lines: Sequence[Line]) -> list[str]:
        """The text of each line."""
        if not lines:
            return []
        network_inputs = np.stack([self._network_input(line) for line in lines])
        (scores,) = self._session.run(None, {self._input: np.repeat(network_inputs[:, None], 3, axis=1)})
        # Connectionist temporal classification: each run of one class is one character, blanks are none.
        return [
            "".join(self._characters[index] for index, _ in groupby(classes) if index != BLANK)
            for classes in scores.argmax(axis=2).tolist()
        ]

    def _network_input(self, line: Line) -> npt.NDArray[np.float32]:
        """The network's input in each of its three colours: shape (HEIGHT, width), from -1 to 1."""
        from PIL import Image

        if line.shape[1] > self._width:
            squeezed = Image.fromarray(line).resize((self._width, HEIGHT), Image.Resampling.BILINEAR)
            line = np.asarray(squeezed)
        pixels = np.zeros((HEIGHT, self._width), np.float32)
        pixels[:, : line.shape[1]] = line.astype(np.float32) / 127.5 - 1.0
        return pixels
