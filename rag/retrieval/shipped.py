"""Where the files are that come with Weir: in a checkout beside the packages, else where the wheel puts them."""

from __future__ import annotations

import sys
from pathlib import Path

_FOLDERS = (Path(__file__).parents[2] / "artefacts", Path(sys.prefix) / "share/weir")


def shipped(name: str) -> Path:
    """The file of that name. Where there is none, its place in an installation, for the error to name."""
    places = [folder / name for folder in _FOLDERS]
    return next((place for place in places if place.is_file()), places[-1])
