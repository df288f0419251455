"""What keeps a Weir from running is said before it opens; tests/e2e has those that run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ledger.prices import PricesUnknown
from router.config.load import Loaded, load
from router.running import run


def loaded(folder: Path, **model: object) -> tuple[Loaded, Path]:
    path = folder / "weir.yaml"
    config = {
        "upstreams": {"scripted": {"kind": "scripted"}},
        "models": {"echo": {"upstream": "scripted", **model}},
        "tenants": {"acme": {}},
    }
    path.write_text(yaml.safe_dump(config))
    return load(path, {}), path


def heard(url: str) -> None:
    pytest.fail(f"it listens on {url}")


def test_a_state_folder_that_cannot_be_made_is_said_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found, path = loaded(tmp_path, price={"input": "1", "output": "2"})
    with pytest.raises(OSError, match=r"cannot be made: .* WEIR_STATE_DIR"):
        run(found, path, host="127.0.0.1", port=0, state=tmp_path / "file" / "state", listening=heard)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_price_that_is_missing_is_said(tmp_path: Path, workers: int) -> None:
    found, path = loaded(tmp_path)
    with pytest.raises(PricesUnknown, match="echo"):
        run(found, path, host="127.0.0.1", port=0, state=tmp_path / "state", listening=heard, workers=workers)
