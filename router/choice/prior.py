"""Where the prior lies that Weir brings along: how hard queries are, before anything was learned here."""

from __future__ import annotations

import sys
from pathlib import Path

_BESIDE_THE_CODE = Path(__file__).parents[2] / "artefacts/router-prior.npz"
_INSTALLED = Path(sys.prefix) / "share/weir/router-prior.npz"

PRIOR = _BESIDE_THE_CODE if _BESIDE_THE_CODE.exists() else _INSTALLED
"""See `artefacts/README.md` for what it was learned from."""
