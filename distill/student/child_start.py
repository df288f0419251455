"""Starts a module of `distill` in a Python that does not know it: `python -P child_start.py PACKAGE MODULE ORDER`.

Run as a file, with nothing but the standard library. When its standard input ends, the parent is gone, and it ends
itself with all processes of its group.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import signal
import sys
import threading
from pathlib import Path


def main() -> None:
    package, module, order = sys.argv[1:]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _lend(Path(package))
    sys.argv = [module, order]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _lend(folder: Path) -> None:
    """Make the package in `folder` importable, and nothing that lies beside it."""
    spec = importlib.util.spec_from_file_location(
        folder.name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} is no package")
    package = importlib.util.module_from_spec(spec)
    sys.modules[folder.name] = package
    spec.loader.exec_module(package)


def _end_with_parent() -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
