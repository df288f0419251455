"""A built encoder's folder: the network, its tokenizer, and a card that says what they are.

The version is a hash over both files, so that vectors of two encoders are never compared, and so that a file that
was cut short is found out before it encodes anything.
"""

from __future__ import annotations

import sys
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

MODEL, TOKENIZER, CARD = "model.onnx", "tokenizer.json", "encoder.json"
BUILT = Path(sys.prefix) / "share/weir/encoder/all-minilm-l6-v2"
"""Where `make` builds the encoder that comes with Weir."""
_VERSION_BYTES = 8
_PIECE_BYTES = 1 << 20
_CHARACTERS = 16  # a token of English has five


class EncoderFault(Exception):
    """There is no usable encoder. The message says what to do."""


class Provenance(Struct, frozen=True):
    source: str
    """The package and its version, or the name of the folder it was built from."""
    licence: str
    """Of the weights; "" where the source does not say."""


class EncoderCard(Struct, frozen=True, kw_only=True):
    name: str
    dimensions: int
    max_tokens: int
    """What comes after is not read. The first and the last mark of a text count."""
    version: str
    provenance: Provenance

    @property
    def max_characters(self) -> int:
        """Of a text; the rest is cut off before anything looks at it. Far more than `max_tokens` words hold."""
        return _CHARACTERS * self.max_tokens

    def readable(self, text: str) -> str:
        """What is read of `text`: cut to `max_characters`, and such as can be written in UTF-8."""
        text = text[: self.max_characters]
        return text if text.isascii() else text.encode("utf-8", "replace").decode()


def version_of(*files: BinaryIO) -> str:
    """A hash over what `files` hold, one after the other."""
    digest = blake2b(digest_size=_VERSION_BYTES)
    for file in files:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def read_card(folder: Path) -> EncoderCard:
    """The card alone: cheap, and says nothing about the other files. Raises EncoderFault."""
    try:
        return msgspec.json.decode((folder / CARD).read_bytes(), type=EncoderCard)
    except FileNotFoundError:
        raise EncoderFault(f"There is no encoder in {folder}. Build it: weir encoder build --to {folder}") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise EncoderFault(
            f"{folder / CARD} cannot be read ({error}). Build it anew: weir encoder build --to {folder}"
        ) from error


def read_checked(folder: Path) -> EncoderCard:
    """The card, once the other files are what it vouches for. Raises EncoderFault."""
    card = read_card(folder)
    try:
        with (folder / MODEL).open("rb") as model, (folder / TOKENIZER).open("rb") as tokenizer:
            found = version_of(model, tokenizer)
    except OSError as error:
        raise EncoderFault(f"{error}. Build it anew: weir encoder build --to {folder}") from error
    if found != card.version:
        raise EncoderFault(
            f"{folder / MODEL} or {TOKENIZER} beside it is damaged: not version {card.version} as {CARD} says. "
            f"Build it anew: weir encoder build --to {folder}"
        )
    return card
