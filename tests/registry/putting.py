"""Artefacts to put, and ways to damage what was put."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from registry.store import Registry

KIND, NAME = "router", "support/acme"
FILES = {"quality.npz": b"quality", "check.npz": b"check"}
WHY: dict[str, Any] = {"by": "test", "reason": "a test"}


def put(registry: Registry, content: bytes = b"", name: str = NAME) -> str:
    return registry.put(KIND, name, {**FILES, "intents.npz": content}, {"summary": "heads"}, by="test")


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def damage(registry: Registry, version: str, how: str = "changed") -> None:
    (folder,) = registry.folder.rglob(version)
    path = folder / ("card.json" if "card" in how else "quality.npz")
    path.chmod(0o600)
    if how == "added":
        (folder / "more.npz").write_bytes(b"")
    elif how in ("removed", "no card"):
        path.unlink()
    elif how == "renamed":
        path.rename(folder / "other.npz")
    else:
        path.write_bytes(path.read_bytes() + b" ")
