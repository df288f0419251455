"""The encoder as verbs use it: in their own process, from the folder that Weir will use too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from encoder.card import BUILT, EncoderFault

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from encoder.session import Backend, Session

_AT_ONCE = 256

encoder_option = click.option(
    "--encoder",
    "encoder",
    type=click.Path(path_type=Path, file_okay=False),
    default=BUILT,
    help="The encoder's folder; the one that Weir will use.  [default: in Weir's own]",
)


def session_of(folder: Path, backend: Backend = "onnxruntime") -> Session:
    """Raises click.ClickException with advice."""
    try:
        from encoder.session import Session

        return Session(folder, backend)
    except ImportError as error:
        raise click.ClickException(f"{error}: pip install 'weir[semantic]'") from error
    except EncoderFault as error:
        raise click.ClickException(str(error)) from error


def encode_with(session: Session) -> Callable[[Sequence[str]], NDArray[np.float32]]:
    """Vectors (texts, dimensions), some at a time so that memory stays small."""
    import numpy as np

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        parts = [session.encode(texts[start : start + _AT_ONCE]) for start in range(0, len(texts), _AT_ONCE)]
        return np.vstack(parts) if parts else np.zeros((0, session.card.dimensions), np.float32)

    return encode
