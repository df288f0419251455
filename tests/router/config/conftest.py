from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.router.config.good import GOOD, Write


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a configuration and the prompt that `GOOD` names; returns the configuration's path."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/support.txt").write_text("Be brief.", encoding="utf-8")

    def write(text: str | bytes = GOOD) -> Path:
        path = tmp_path / "weir.yaml"
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return path

    return write
