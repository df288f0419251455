"""The steps of a training: TRL's trainer with our rows in our order, our losses, and checkpoints to go on from.

The non-obvious decision: checkpoints are trusted by their last file. A kill while one is written leaves it without
a readable state; it is thrown away and the one before is taken.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, ProgressCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from distill.student.training.guides import Guides
from distill.student.training.loading import Start
from distill.student.training.losses import IGNORED, Loss
from distill.student.training.recipe import Recipe
from distill.student.training.rows import Row, Rows

Tell = Callable[[int, int, float], object]
_LINES = 100
"""Of progress, and points of the loss's plot, at least where there are as many steps."""
_STATE = "trainer_state.json"
_KEPT = 2


@dataclass(frozen=True, kw_only=True)
class Learned:
    """`seconds` are of all runs of this training together, `tokens` without padding, `device` its name."""

    model: Any
    tokenizer: Any
    steps: int
    tokens: int
    loss: float
    points: Sequence[tuple[int, float]]
    seconds: float
    device: str
    precision: str
    memory_mb: float


def learn(
    recipe: Recipe,
    start: Start,
    examples: Sequence[Mapping[str, Any]],
    guides: Guides | None,
    *,
    folder: Path,
    tell: Tell,
) -> Learned:
    """Train in `folder`, going on from its last checkpoint. Raises RecipeFault."""
    began = time.monotonic()
    batches = Rows(recipe, start.tokenizer, examples, guides).batches()
    rows = [row for batch in batches for row in batch]
    vectors = None if guides is None else torch.from_numpy(guides.vectors)
    trainer = _Trainer(
        model=start.model,
        args=_arguments(recipe, start.precision, folder, len(batches)),
        train_dataset=_dataset(rows),
        data_collator=_Padded(int(start.tokenizer.pad_token_id or 0)),
        processing_class=start.tokenizer,
        peft_config=_lora(recipe) if recipe.adapter.kind == "lora" else None,
    )
    if start.teacher is not None:
        start.teacher.to(trainer.args.device)
    trainer.loss = Loss(recipe, vectors, start.teacher)
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(_Told(tell))
    checkpoint = last_checkpoint(folder)
    before = _seconds_before(checkpoint)
    trainer.add_callback(_Clock(folder, began - before))
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    points = [(entry["step"], entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    return Learned(
        model=trainer.accelerator.unwrap_model(trainer.model),
        tokenizer=start.tokenizer,
        steps=trainer.state.global_step,
        tokens=sum(len(row.tokens) for row in rows),
        loss=points[-1][1] if points else float("nan"),
        points=points,
        seconds=before + time.monotonic() - began,
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        precision=start.precision,
        memory_mb=_peak_mb(),
    )


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole one in `folder`; what a kill left of others is removed."""
    numbered = [(int(path.name.rpartition("-")[2]), path) for path in folder.glob("checkpoint-*") if path.is_dir()]
    for _, path in sorted(numbered, reverse=True):
        try:
            json.loads((path / _STATE).read_bytes())
        except (OSError, ValueError):
            shutil.rmtree(path)
        else:
            return path
    return None


class _Trainer(SFTTrainer):  # type: ignore[misc]  # trl has no types
    """With rows in the order that they were made in, and our loss in place of its own."""

    loss: Loss

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        # Each micro batch counts the same, whatever its tokens: rows of one length were put together
        return self.loss.of(model, inputs) / self.args.gradient_accumulation_steps

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Weir writes its own."""


class _Told(TrainerCallback):  # type: ignore[misc]  # transformers has no types here
    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self._tell(state.global_step, state.max_steps, float(logs["loss"]))


class _Clock(TrainerCallback):  # type: ignore[misc]
    """Writes beside each checkpoint how long it took to get there, all runs together."""

    def __init__(self, folder: Path, began: float) -> None:
        self._folder = folder
        self._began = began

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        path = self._folder / f"checkpoint-{state.global_step}" / "seconds.json"
        path.write_text(json.dumps(time.monotonic() - self._began))


class _Padded:
    """Rows to tensors (rows, tokens), padded on the right."""

    def __init__(self, padding: int) -> None:
        self._padding = padding

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        longest = max(len(row["input_ids"]) for row in rows)
        tokens = torch.full((len(rows), longest), self._padding)
        labels = torch.full((len(rows), longest), IGNORED)
        real = torch.zeros((len(rows), longest), dtype=torch.long)
        for place, row in enumerate(rows):
            numbers, prompt = torch.as_tensor(row["input_ids"]), row["prompt"]
            tokens[place, : len(numbers)] = numbers
            labels[place, prompt : len(numbers)] = numbers[prompt:]
            real[place, : len(numbers)] = 1
        return {
            "input_ids": tokens,
            "attention_mask": real,
            "labels": labels,
            "ends": torch.tensor([row["prompt"] - 1 for row in rows]),
            "guides": torch.tensor([row["guide"] for row in rows]),
        }


def _dataset(rows: Sequence[Row]) -> Any:
    columns = {
        "input_ids": [row.tokens for row in rows],
        "prompt": [row.prompt for row in rows],
        "guide": [row.guide for row in rows],
    }
    return Dataset.from_dict(columns)


def _arguments(recipe: Recipe, precision: str, folder: Path, steps: int) -> Any:
    return SFTConfig(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=recipe.batch,
        gradient_accumulation_steps=recipe.accumulate,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=int(recipe.warm_up * steps),
        weight_decay=recipe.weight_decay,
        adam_beta2=0.98,  # gradients of rare intents come seldom: .999 remembers the first steps for too long
        seed=recipe.seed,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        gradient_checkpointing=False,
        save_strategy="steps",
        save_steps=recipe.checkpoint_steps,
        save_total_limit=_KEPT,
        logging_strategy="steps",
        logging_steps=max(1, steps // _LINES),
        disable_tqdm=True,
        report_to=[],
    )


def _lora(recipe: Recipe) -> Any:
    from peft import LoraConfig

    how = recipe.adapter
    targets = how.targets if how.targets == "all-linear" else [part.strip() for part in how.targets.split(",")]
    return LoraConfig(r=how.rank, lora_alpha=how.alpha, target_modules=targets, task_type="CAUSAL_LM")


def _seconds_before(checkpoint: Path | None) -> float:
    try:
        return float(json.loads((checkpoint / "seconds.json").read_bytes())) if checkpoint else 0.0
    except (OSError, ValueError):
        return 0.0


def _peak_mb() -> float:
    """Of the device, or of this process without one."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated() / 1e6)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
