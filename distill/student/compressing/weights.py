"""Reads and writes weights as Hugging Face stores them (safetensors), one tensor in memory at a time.

The non-obvious decision: the format is read here and not by its library, which has no bfloat16 without torch. A
file is the length of a header in 8 bytes, little end first; the header, JSON, with type, shape and place of each
tensor; and the tensors. https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_LONGEST_HEADER = 100_000_000
"""Bytes, as the format's own library has it."""
_WIDTH = {"F32": 4, "F16": 2, "BF16": 2}


class WeightsFault(ValueError):
    """Weights that cannot be read. The message says which and why."""


class Tensor(Struct, frozen=True, kw_only=True):
    """One tensor in a file. `kind` is F32, F16 or BF16; `place` is its first byte's in the file."""

    name: str
    kind: str
    shape: tuple[int, ...]
    file: Path
    place: int

    @property
    def size(self) -> int:
        """Numbers in it."""
        return int(np.prod(self.shape, dtype=np.int64))

    def values(self) -> NDArray[np.float32]:
        """As float32, of its shape; exact, since the other kinds are narrower."""
        if self.kind == "BF16":
            wide = self._raw("<u2").astype("<u4") << 16
            return wide.view("<f4").reshape(self.shape)
        return self._raw("<f2" if self.kind == "F16" else "<f4").astype(np.float32).reshape(self.shape)

    def _raw(self, dtype: str) -> NDArray[Any]:
        return np.fromfile(self.file, dtype=dtype, count=self.size, offset=self.place)


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Those of the model in `folder`, by name, in one file or several. Raises WeightsFault, OSError."""
    index = folder / INDEX
    names = [WEIGHTS]
    if index.exists():
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    elif not (folder / WEIGHTS).exists():
        raise WeightsFault(f"{folder} has no {WEIGHTS}: save the model as safetensors, as transformers does")
    return {tensor.name: tensor for name in names for tensor in _tensors_of(folder / name)}


def write_bfloat16(path: Path, tensors: Iterable[Tensor]) -> None:
    """Write them as BF16, rounded to the nearest, to even where there are two."""
    listed = list(tensors)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for tensor in listed:
        end = place + 2 * tensor.size
        header[tensor.name] = {"dtype": "BF16", "shape": tensor.shape, "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("xb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in listed:
            file.write(_bfloat16(tensor.values()).tobytes())


def _bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    bits = values.astype("<f4").view("<u4")
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)


def _tensors_of(file: Path) -> list[Tensor]:
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if not 0 < length <= _LONGEST_HEADER:
            raise WeightsFault(f"{file} is no safetensors file")
        text = opened.read(length)
    try:
        header: Mapping[str, Any] = json.loads(text)
    except ValueError as error:
        raise WeightsFault(f"{file} is no safetensors file: {error}") from error
    return [_tensor(name, about, file, 8 + length) for name, about in header.items() if name != "__metadata__"]


def _tensor(name: str, about: Mapping[str, Any], file: Path, begin: int) -> Tensor:
    kind, shape, (first, end) = about["dtype"], tuple(about["shape"]), about["data_offsets"]
    if kind not in _WIDTH:
        raise WeightsFault(f"{name} in {file} is {kind}: weights in F32, F16 or BF16 can be compressed")
    tensor = Tensor(name=name, kind=kind, shape=shape, file=file, place=begin + first)
    if end - first != tensor.size * _WIDTH[kind] or begin + end > file.stat().st_size:
        raise WeightsFault(f"{file} is cut short, or damaged: {name} is not all there")
    return tensor
