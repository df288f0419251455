"""The compress stage: every variant that was asked for is made, or refused with the reason.

The non-obvious decision: a variant that cannot be had is no failure of the stage. It stands in the table beside the
others with its reason, so that nobody has to wonder whether it was tried.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from contracts.students import Variant
from distill.student.compressing.catalogue import ADAPTED, REFUSED, WHAT, engine_of
from distill.student.compressing.gguf_tokenizer import NotConvertible
from distill.student.compressing.making import Made, Source, digest_of, make
from distill.student.compressing.settings import CompressSettings, EngineSettings
from distill.student.running import Tell
from distill.student.table import Row, table
from system.files import replace_file

VARIANTS, REPORT = "variants.json", "compress.md"


class Refused(Struct, frozen=True, kw_only=True):
    """A variant that was asked for and is not there."""

    name: str
    reason: str


class _Listed(Struct, frozen=True, kw_only=True):
    made: tuple[Made, ...]
    refused: tuple[Refused, ...]


@dataclass(frozen=True, slots=True)
class Compressed:
    """What the stage left in `folder`."""

    folder: Path
    made: tuple[Made, ...]
    refused: tuple[Refused, ...]

    @property
    def variants(self) -> tuple[Variant, ...]:
        return tuple(made.variant for made in self.made)

    def folder_of(self, variant: Variant) -> Path:
        """Where its files are."""
        return self.folder / variant.name


def compress(
    model: Path,
    settings: CompressSettings,
    *,
    engines: EngineSettings,
    folder: Path,
    tell: Tell,
    examples: Path | None = None,
    adapter: Path | None = None,
) -> Compressed:
    """Make variants of the Hugging Face model in the folder `model`, a folder for each in `folder`.

    `examples` is the train part, which `w8a8` and `w4a16` are fitted to; `adapter` the folder of the LoRA adapter,
    which is not there where none was trained. Variants that are there from an earlier
    run on the same model stay as they are. Raises StageFailed, WeightsFault, OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = Source(
        model=model,
        digest=digest_of(model),
        settings=settings,
        examples=examples,
        adapter=adapter if adapter is not None and adapter.is_dir() else None,
        threads=engines.gguf.threads,
    )
    names = (*settings.variants, *settings.given)
    _drop_others(folder, names)
    made, refused = list[Made](), list[Refused]()
    for place, name in enumerate(names):
        tell(f"compressing: {name}", place, len(names))
        reason = _obstacle(name, engines, source)
        if not reason:
            try:
                made.append(make(name, source, folder, tell))
            except NotConvertible as error:
                reason = _advised(name, str(error))
        if reason:
            refused.append(Refused(name=name, reason=reason))
    tell("compressing", len(names), len(names))
    compressed = Compressed(folder, tuple(made), tuple(refused))
    listed = _Listed(made=compressed.made, refused=compressed.refused)
    replace_file(folder / VARIANTS, msgspec.json.format(msgspec.json.encode(listed), indent=1))
    replace_file(folder / REPORT, _report(compressed).encode())
    return compressed


def read_compressed(folder: Path) -> Compressed:
    """What `compress` left there. Raises OSError, or ValueError where it is damaged."""
    try:
        listed = msgspec.json.decode((folder / VARIANTS).read_bytes(), type=_Listed)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{folder / VARIANTS} is damaged ({error}): compress again") from error
    return Compressed(folder, listed.made, listed.refused)


def _obstacle(name: str, engines: EngineSettings, source: Source) -> str:
    """Why this variant is not made of any model, or not of this one, or cannot be measured here."""
    if name in REFUSED:
        return REFUSED[name]
    if engine_of(name) == "vllm" and engines.vllm is None:
        return "Only vLLM runs it, and no vLLM is configured to try it with: set `engines.vllm.python`."
    if name == ADAPTED and source.adapter is None:
        return "No adapter was trained: set `train.adapter.kind: lora`, with a `train.base`."
    return ""


def _advised(name: str, reason: str) -> str:
    if engine_of(name) == "vllm":
        return f"It cannot be made of this model: {reason}."
    return (
        f"This model cannot be written as GGUF here: {reason}. Convert it with llama.cpp's own "
        "convert_hf_to_gguf.py, and name the file in `compress.given`."
    )


def _drop_others(folder: Path, names: tuple[str, ...]) -> None:
    """What earlier runs left: other variants, and halves of any."""
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name not in names:
            shutil.rmtree(entry)


def _report(compressed: Compressed) -> str:
    rows = [
        Row(
            variant=made.variant.name,
            engine=made.variant.engine,
            bytes=made.variant.bytes,
            remark="; ".join(filter(None, (WHAT.get(made.variant.name, ""), made.note))),
        )
        for made in compressed.made
    ]
    rows += [Row(variant=refused.name, remark=f"not made: {refused.reason}") for refused in compressed.refused]
    return f"# Variants of the student's weights\n\n{table(rows)}"
