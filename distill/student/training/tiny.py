"""A student from scratch: a tokenizer learned from the tenant's texts, and a small Llama that reads with it.

The non-obvious decision: whole words of the encoder's vocabulary become tokens, and their embeddings begin where
the encoder has them. A model of a million weights never learns from a few hundred questions which words are alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from distill.student.training.recipe import Scratch

if TYPE_CHECKING:
    from distill.student.training.guides import Guides

END, USER, ASSISTANT = "<|endoftext|>", "<|user|>", "<|assistant|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '<|user|> ' + message['content'] | trim }}"
    "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>' + message['content'] + '<|endoftext|>' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""System messages are left out: the instructions are in the weights. The blank makes a first word the token that it
is in the middle of a sentence."""
_WORDS_AS_TOKENS = 8_000
_TENANTS = 8
"""How often the tenant's questions count beside general words."""
_SPREAD = 0.04
"""Standard deviation of the weights at the start; at a hidden size of 128, 0.02 learned more slowly."""


def code_of(intent: str) -> str:
    """The control token that an answer to `intent` begins with."""
    return f"<|intent:{intent}|>"


def make_tokenizer(
    scratch: Scratch,
    *,
    questions: Sequence[str],
    others: Iterable[str],
    words: Sequence[str],
    intents: Sequence[str],
) -> Any:
    """A transformers tokenizer: byte-level BPE, split as GPT-2 does it. `words` come with the most common first."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    codes = [code_of(intent) for intent in sorted(set(intents))] if scratch.codes else []
    trainer = trainers.BpeTrainer(
        vocab_size=scratch.vocab,
        special_tokens=[END, USER, ASSISTANT, *codes],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=1,
        show_progress=False,
    )
    texts = [f" {question}" for question in questions] * _TENANTS + list(others)
    for place, word in enumerate(words[:_WORDS_AS_TOKENS]):
        texts += [f" {word}"] * max(1, int(40 / (1 + place / 200)))  # as in any text, by Zipf's law
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=END,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=scratch.positions,
    )


def make_model(scratch: Scratch, tokenizer: Any, guides: Guides | None) -> Any:
    """A LlamaForCausalLM with tied embeddings; torch's seed decides on its weights."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    ends = tokenizer.eos_token_id
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=scratch.hidden,
        intermediate_size=scratch.intermediate,
        num_hidden_layers=scratch.layers,
        num_attention_heads=scratch.heads,
        num_key_value_heads=scratch.heads,
        max_position_embeddings=scratch.positions,
        tie_word_embeddings=True,
        initializer_range=_SPREAD,
        bos_token_id=None,
        eos_token_id=ends,
        pad_token_id=ends,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=ends, do_sample=False)
    if guides is not None and len(guides.words):
        _begin_with_words(model, tokenizer, guides)
    return model


def _begin_with_words(model: Any, tokenizer: Any, guides: Guides) -> None:
    """Tokens that are words: their vectors on the main axes of all, as long as a random row is on average."""
    import torch

    hidden = model.config.hidden_size
    centred = guides.word_vectors - guides.word_vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred[:_WORDS_AS_TOKENS], full_matrices=False)
    rows = centred @ axes[:hidden].T
    rows *= _SPREAD * math.sqrt(hidden) / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    places = {word: place for place, word in enumerate(guides.words)}
    with torch.no_grad():
        for number in range(len(tokenizer)):
            word = tokenizer.decode([number]).strip().lower()
            if word in places:
                row = rows[places[word]]
                model.model.embed_tokens.weight[number, : len(row)] = torch.tensor(row)
