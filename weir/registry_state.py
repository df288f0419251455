"""What the verbs of `weir registry` share: which registry they are about, and how its faults are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from registry.faults import RegistryFault
from registry.store import Registry
from weir.state import state_dir

state_option = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help="The state folder; the registry is in its folder `registry`.  [default: $WEIR_STATE_DIR, or .weir]",
)


def registry_of(state: Path | None) -> Registry:
    return Registry((state_dir() if state is None else state) / "registry")


@contextmanager
def faults() -> Iterator[None]:
    """Faults of the registry, in words."""
    try:
        yield
    except (RegistryFault, OSError) as error:
        raise click.ClickException(str(error)) from error
