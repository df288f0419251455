"""What training makes small: the surprise at the answer, the distance from a teacher's probabilities, and, for a
student from scratch, the angle between what it makes of a text and what the encoder does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from distill.student.training.recipe import Recipe

IGNORED = -100
GUIDE_HEAD = "guide_head"
"""A module of the model while it trains: from its last state to the encoder's dimensions. Thrown away after."""


class Loss:
    """Of a batch. `vectors` (texts, dimensions) are the guides', `teacher` a model with the same tokens."""

    def __init__(self, recipe: Recipe, vectors: Any | None, teacher: Any | None) -> None:
        self._recipe = recipe
        self._vectors = vectors
        self._teacher = teacher

    def of(self, model: Any, batch: dict[str, Any]) -> Any:
        """A scalar tensor. `batch` holds input_ids, attention_mask, labels (rows, tokens), and of each row `ends`,
        the place of the last token that is only read, and `guides`, the row of its vector or -1.
        """
        labels = batch["labels"][:, 1:]
        told = labels != IGNORED
        wanted = labels[told]
        read = {name: batch[name] for name in ("input_ids", "attention_mask")}
        guided: Any = 0.0
        if self._recipe.base:
            logits = model(**read, use_cache=False).logits[:, :-1][told]
        else:
            inner = getattr(model, "module", model)
            states = inner.model(**read, use_cache=False).last_hidden_state
            guided = self._guided(inner, states, batch)
            states = functional.dropout(states[:, :-1][told], self._recipe.scratch.dropout, model.training)
            logits = inner.lm_head(states)
        if not len(wanted):
            return guided
        plain = functional.cross_entropy(logits.float(), wanted)
        if self._teacher is not None:
            plain = self._taught(plain, logits, read, told)
        return plain + guided

    def _guided(self, model: Any, states: Any, batch: dict[str, Any]) -> Any:
        guides = batch["guides"]
        if self._recipe.guidance is None or self._vectors is None or not bool((guides >= 0).any()):
            return 0.0
        rows = torch.nonzero(guides >= 0).squeeze(1)
        told = getattr(model, GUIDE_HEAD)(states[rows, batch["ends"][rows]]).float()
        wanted = self._vectors.to(told.device)[guides[rows]]
        return self._recipe.guidance.weight * (1 - functional.cosine_similarity(told, wanted)).mean()

    def _taught(self, plain: Any, logits: Any, read: dict[str, Any], told: Any) -> Any:
        """Divergence from the softened teacher, times the temperature squared (Hinton et al. 2015, section 2)."""
        how = self._recipe.logits
        with torch.no_grad():
            taught = self._teacher(**read, use_cache=False).logits[:, :-1][told].float()  # type: ignore[misc] # is one
        soft = functional.log_softmax(logits.float() / how.temperature, dim=-1)
        wanted = functional.log_softmax(taught[:, : soft.shape[1]] / how.temperature, dim=-1)
        apart = functional.kl_div(soft, wanted, log_target=True, reduction="batchmean") * how.temperature**2
        return (1 - how.share) * plain + how.share * apart
