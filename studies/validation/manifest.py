"""The manifest of a validation's folder. This module works without live mode installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ipa.studies import results

KIND = "validation"


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a validation's folder; None if the folder holds no validation."""
    try:
        manifest = json.loads((folder / results.MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("kind") == KIND else None
