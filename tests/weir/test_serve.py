"""What `weir serve` says before it serves: how to reach it, with a key that works there, or why it cannot."""

from __future__ import annotations

import socket
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from router.config.load import Loaded, load
from weir.serve import _demo_key, _say_hello, serve


def loaded(folder: Path, **keys: str) -> Loaded:
    """A configuration whose tenants each have the named key."""
    path = folder / "weir.yaml"
    tenants = {
        tenant: {"keys": {"one": {"hash": f"sha256:{sha256(key.encode()).hexdigest()}"}}}
        for tenant, key in keys.items()
    }
    config = {
        "upstreams": {"scripted": {"kind": "scripted"}},
        "models": {"echo": {"upstream": "scripted", "price": {"input": 1, "output": 1}}},
        "routes": {"support": {"candidates": ["echo"]}},
        "tenants": tenants,
    }
    path.write_text(yaml.safe_dump(config))
    return load(path, {})


def test_the_demo_key_is_that_of_the_first_tenant_that_declares_its_own(tmp_path: Path) -> None:
    assert _demo_key(loaded(tmp_path, acme="sk-weir-secret", globex="sk-weir-demo-globex")) == "sk-weir-demo-globex"
    assert _demo_key(loaded(tmp_path, acme="sk-weir-demo-globex")) is None
    assert _demo_key(loaded(tmp_path)) is None


def test_a_demo_key_is_shown_with_a_request_to_try(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _say_hello("http://127.0.0.1:8080", loaded(tmp_path), "sk-weir-demo-acme")
    said = capsys.readouterr().out
    assert "Base URL  http://127.0.0.1:8080/v1\n" in said
    assert "curl -s http://127.0.0.1:8080/v1/chat/completions -H 'Authorization: Bearer sk-weir-demo-acme'" in said
    assert '"model": "support"' in said


def test_without_one_it_says_how_to_make_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _say_hello("http://0.0.0.0:8080", loaded(tmp_path), None)
    said = capsys.readouterr().out
    assert "Base URL  http://0.0.0.0:8080/v1\n" in said
    assert "weir keys create" in said
    assert "curl" not in said


def test_a_wrong_configuration_or_a_taken_port_is_one_line_of_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_STATE_DIR", str(tmp_path / "state"))
    loaded(tmp_path)
    missing = CliRunner().invoke(serve, ["--config", str(tmp_path / "nowhere.yaml")])
    assert (missing.exit_code, "nowhere.yaml" in missing.stderr) == (1, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(serve, ["--config", str(tmp_path / "weir.yaml"), "--port", port])
    assert result.exit_code == 1
    assert f"127.0.0.1:{port} cannot be had" in result.stderr
    assert "Traceback" not in result.stderr
