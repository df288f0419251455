"""The built encoder at work, in this process and on one core.

A text's vector depends on the text alone: the network scales each token's row for itself, and what a batch adds to
make its rows even is masked. So batches may be formed in any way that is quick, and are: of texts of like length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from encoder.card import CARD, MODEL, TOKENIZER, EncoderFault, read_checked

Vectors = NDArray[np.float32]
Backend = Literal["onnxruntime", "openvino"]
Network = Callable[[NDArray[np.int32], NDArray[np.int32]], Vectors]
"""Token numbers and which of them are real, both (texts, tokens), to vectors."""

MOST_TEXTS = 16
"""In one run of the network. More than that is no faster, and the first would wait for the last."""
_MOST_PADDING = 4  # tokens


class Session:
    """Made from a folder that `encoder.build` wrote. Raises EncoderFault. Not for two threads at once.

    `backend` runs the network: onnxruntime, or OpenVINO, which takes 5.7 ms where that takes 8.8 (450 characters,
    one core that has VNNI), and as much for a dozen words. Their vectors have a cosine of .98 at least.
    """

    def __init__(self, folder: Path, backend: Backend = "onnxruntime") -> None:
        self.card = read_checked(folder)
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        except Exception as error:  # the tokenizers package raises nothing more narrow
            raise EncoderFault(f"{folder}: its tokenizer is not usable ({error}).") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.card.max_tokens)
        self._network = _openvino(folder) if backend == "openvino" else _onnxruntime(folder)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Float32 (texts, dimensions), every row of length one, in the order of `texts`."""
        vectors = np.empty((len(texts), self.card.dimensions), np.float32)
        for places, rows in self.parts(texts):
            vectors[places] = rows
        return vectors

    def parts(self, texts: Sequence[str]) -> Iterator[tuple[list[int], Vectors]]:
        """The same a few texts at a time, with their places in `texts`; the shortest come first."""
        tokens = [self._tokenizer.encode(self.card.readable(text)).ids for text in texts]
        places: list[int] = []
        for place in sorted(range(len(tokens)), key=lambda place: len(tokens[place])):
            if places and (
                len(places) == MOST_TEXTS or len(tokens[place]) > len(tokens[places[0]]) + _MOST_PADDING
            ):
                yield places, self._run([tokens[each] for each in places])
                places = []
            places.append(place)
        if places:
            yield places, self._run([tokens[each] for each in places])

    def _run(self, rows: Sequence[Sequence[int]]) -> Vectors:
        """`rows` of token numbers, the last the longest, to vectors (rows, dimensions)."""
        ids = np.zeros((len(rows), len(rows[-1])), np.int32)
        real = np.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
            real[place, : len(row)] = 1
        return self._network(ids, real)


def _onnxruntime(folder: Path) -> Network:
    try:
        import onnxruntime
    except ImportError as error:
        raise EncoderFault(f"onnxruntime cannot be imported ({error}): pip install 'weir[semantic]'.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors
    try:
        network = onnxruntime.InferenceSession(str(folder / MODEL), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of a dozen classes, which onnxruntime keeps to itself
        raise EncoderFault(
            f"{folder / MODEL} is not a network that onnxruntime takes, though {CARD} vouches for it ({error}). "
            f"Build it anew: weir encoder build --to {folder}"
        ) from error

    def run(ids: NDArray[np.int32], real: NDArray[np.int32]) -> Vectors:
        (vectors,) = network.run(None, {"input_ids": ids, "attention_mask": real})
        return cast("Vectors", vectors)

    return run


def _openvino(folder: Path) -> Network:
    try:
        import openvino
    except ImportError as error:
        raise EncoderFault(f"openvino cannot be imported ({error}): pip install 'weir[openvino]'.") from error
    try:
        one_core = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
        network = openvino.Core().compile_model(str(folder / MODEL), "CPU", one_core)
    except RuntimeError as error:
        raise EncoderFault(f"{folder / MODEL} is not a network that OpenVINO takes ({error}).") from error

    def run(ids: NDArray[np.int32], real: NDArray[np.int32]) -> Vectors:
        vectors = network({"input_ids": ids, "attention_mask": real})[0]
        return np.array(vectors, np.float32)

    return run
