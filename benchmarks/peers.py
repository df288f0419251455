"""Installs the peers that Weir is measured against, each into a folder of its own under .bench/, never into .venv.

    .venv/bin/python benchmarks/peers.py                     all of them
    .venv/bin/python benchmarks/peers.py --only litellm      one
    .venv/bin/python benchmarks/peers.py --list              which there are, and which are here

A folder that holds just the versions named here is left alone. Packages besides a peer's own are there to its
advantage: LiteLLM without opentelemetry-sdk repeats a failing import with every request, and httptools is uvicorn's
faster parser; Portkey fails to stream with newer versions of hono's server than those that its project locks.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from benchmarks.systems import PEERS

_NOTES = Console(stderr=True, soft_wrap=True)
_WITHIN_S = 1200


@dataclass(frozen=True)
class Peer:
    """Packages with exact versions, the peer's own first."""

    name: str
    packages: tuple[str, ...]
    from_npm: bool = False

    @property
    def version(self) -> str:
        return self.packages[0].replace("==", "@").rpartition("@")[2]

    def installed(self) -> bool:
        mark = PEERS / self.name / "installed.txt"
        return mark.exists() and mark.read_text(encoding="utf-8") == self._listed()

    def install(self) -> None:
        """From PyPI or npm. Raises subprocess.SubprocessError or OSError; what they wrote stands on stderr."""
        folder = PEERS / self.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if self.from_npm:
            (folder / "package.json").write_text(self._package(), encoding="utf-8")
        for command in self._npm() if self.from_npm else self._pip():
            subprocess.run(command, check=True, timeout=_WITHIN_S, cwd=folder, stdout=sys.stderr)
        (folder / "installed.txt").write_text(self._listed(), encoding="utf-8")

    def _listed(self) -> str:
        return "\n".join(self.packages)

    def _pip(self) -> list[list[str]]:
        pip = ["bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        return [[sys.executable, "-m", "venv", "."], [*pip, *self.packages]]

    def _npm(self) -> list[list[str]]:
        return [["npm", "install", "--silent", "--no-fund", "--no-audit"]]

    def _package(self) -> str:
        """The peer as the one dependency; the other packages in these versions, whoever asks for them."""
        (name, own), *others = (package.rsplit("@", 1) for package in self.packages)
        return json.dumps({"private": True, "dependencies": {name: own}, "overrides": dict(others)})


PINNED = {
    peer.name: peer
    for peer in (
        Peer("litellm", ("litellm[proxy]==1.106.2", "opentelemetry-sdk==1.45.2", "httptools==0.9.0")),
        Peer(
            "portkey",
            ("@portkey-ai/gateway@1.15.2", "@hono/node-server@1.13.5", "@hono/node-ws@1.0.4"),
            from_npm=True,
        ),
        Peer("tensorzero", ("tensorzero==2026.6.0",)),
    )
}


def install(names: Sequence[str] = tuple(PINNED)) -> list[str]:
    """Those that could not be installed; each is said on stderr."""
    failed = []
    for peer in (PINNED[name] for name in names):
        if peer.installed():
            _NOTES.print(f"{peer.name} {peer.version} is here already")
            continue
        _NOTES.print(f"Installing {peer.name} {peer.version} into {PEERS / peer.name} (a minute or so)")
        try:
            peer.install()
        except (subprocess.SubprocessError, OSError) as error:
            _NOTES.print(f"{peer.name} could not be installed: {error}", style="red")
            shutil.rmtree(PEERS / peer.name, ignore_errors=True)  # half of it would look like all of it
            failed.append(peer.name)
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(PINNED), help="may be given more than once")
    parser.add_argument("--list", action="store_true", help="install nothing")
    args = parser.parse_args()
    if args.list:
        for peer in PINNED.values():
            print(f"{peer.name:<11} {peer.version:<10} {'installed' if peer.installed() else 'missing'}")
    elif install(args.only or list(PINNED)):
        sys.exit(1)


if __name__ == "__main__":
    main()
