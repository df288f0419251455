"""Texts to vectors: whatever is in the text, and whatever is encoded beside it."""

from __future__ import annotations

import shutil
from io import BytesIO
from pathlib import Path

import msgspec
import numpy as np
import pytest

from encoder.build import build
from encoder.card import CARD, MODEL, EncoderFault, read_card, version_of
from encoder.session import MOST_TEXTS, Session
from tests.encoder.texts import TEXTS


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "copy"))


def test_rows_are_float32_of_length_one_in_the_order_of_the_texts(session: Session) -> None:
    vectors = session.encode(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((len(TEXTS), 384), np.float32)
    assert np.allclose((vectors * vectors).sum(axis=1), 1, atol=1e-5)
    assert np.allclose(vectors[::-1], session.encode(TEXTS[::-1]), atol=1e-5)


def test_a_vector_does_not_depend_on_what_is_encoded_beside_it(session: Session) -> None:
    together = session.encode(TEXTS * 3)
    alone = np.concatenate([session.encode([text]) for text in TEXTS] * 3)
    assert np.abs(together - alone).max() < 1e-5


def test_no_texts_are_no_rows(session: Session) -> None:
    assert session.encode([]).shape == (0, 384)


def test_the_short_ones_come_first_and_none_waits_for_too_many(session: Session) -> None:
    texts = ["word " * 100, *["hello"] * (MOST_TEXTS + 1), "word " * 100]
    places = [found for found, _ in session.parts(texts)]
    assert [len(each) for each in places] == [MOST_TEXTS, 1, 2]
    assert places[-1] == [0, MOST_TEXTS + 2]


def test_the_end_of_a_long_text_is_not_read(session: Session) -> None:
    begun = "word " * session.card.max_tokens
    one, other = session.encode([begun + "cat", begun + "dog"])
    assert np.array_equal(one, other)


@pytest.mark.parametrize("piece", ["a b c ", "x", "漢", " ", "\x00", "e\u0301", "[SEP]"])
def test_of_a_huge_text_no_more_is_looked_at_than_of_a_long_one(session: Session, piece: str) -> None:
    huge = piece * (1_000_000 // len(piece))
    assert len(session.card.readable(huge)) == session.card.max_characters
    assert np.array_equal(session.encode([huge]), session.encode([huge[: session.card.max_characters]]))


def test_what_cannot_be_written_in_utf8_is_encoded_all_the_same(session: Session) -> None:
    assert np.array_equal(session.encode(["half \ud83d an emoji"]), session.encode(["half ? an emoji"]))


def test_a_text_of_marks_alone_has_a_vector(session: Session) -> None:
    (vector,) = session.encode([""])
    assert np.isfinite(vector).all()


def test_without_an_encoder_it_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(EncoderFault, match=f"There is no encoder in {tmp_path}. Build it: weir encoder build"):
        Session(tmp_path)


def test_a_network_that_was_cut_short_is_found_out(copy: Path) -> None:
    content = (copy / MODEL).read_bytes()
    (copy / MODEL).write_bytes(content[: len(content) // 2])
    with pytest.raises(
        EncoderFault, match=r"model\.onnx or tokenizer\.json beside it is damaged.*weir encoder build"
    ):
        Session(copy)


def test_a_network_that_is_gone_is_found_out(copy: Path) -> None:
    (copy / MODEL).unlink()
    with pytest.raises(EncoderFault, match=r"model\.onnx.*Build it anew"):
        Session(copy)


def test_so_is_a_card_that_is_none(copy: Path) -> None:
    (copy / CARD).write_text("{}")
    with pytest.raises(EncoderFault, match=r"encoder\.json cannot be read"):
        Session(copy)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_what_the_card_vouches_for_in_vain_is_told(tiny: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "built"
    build(tiny, folder)
    (folder / name).write_text("nothing of the kind")
    files = [BytesIO((folder / each).read_bytes()) for each in ("model.onnx", "tokenizer.json")]
    card = msgspec.structs.replace(read_card(folder), version=version_of(*files))
    (folder / CARD).write_bytes(msgspec.json.encode(card))
    with pytest.raises(EncoderFault, match=r"not a network that onnxruntime takes|tokenizer is not usable"):
        Session(folder)


def test_openvino_makes_nearly_the_same_vectors(built: Path, session: Session) -> None:
    pytest.importorskip("openvino")
    texts = ["How do I reset my password?", "a much longer text, " * 60, "Как дела?", ""]
    other = Session(built, "openvino")
    cosines = (session.encode(texts) * other.encode(texts)).sum(axis=1)
    assert cosines.min() > 0.98
    assert abs(np.linalg.norm(other.encode(texts), axis=1) - 1).max() < 1e-3


def test_openvino_says_what_network_it_does_not_take(copy: Path) -> None:
    pytest.importorskip("openvino")
    from encoder.card import CARD, MODEL, TOKENIZER, read_card, version_of

    (copy / MODEL).write_bytes(b"no network")
    with (copy / MODEL).open("rb") as model, (copy / TOKENIZER).open("rb") as tokenizer:
        card = msgspec.structs.replace(read_card(copy), version=version_of(model, tokenizer))
    (copy / CARD).write_bytes(msgspec.json.encode(card))
    with pytest.raises(EncoderFault, match="OpenVINO"):
        Session(copy, "openvino")
