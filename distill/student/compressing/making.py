"""Makes one variant in a folder of its own, whole or not at all, and knows it again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import msgspec
from msgspec import Struct

from contracts.students import Variant
from distill.student.child import StageFailed, run_child
from distill.student.compressing.catalogue import ADAPTED, FITTED, GGUF, engine_of
from distill.student.compressing.gguf_tokenizer import NotConvertible
from distill.student.compressing.gguf_writer import Precision, write_gguf
from distill.student.compressing.settings import CompressSettings
from distill.student.compressing.weights import INDEX, WEIGHTS, read_tensors, write_bfloat16
from distill.student.running import Tell
from system.files import replace_file, sync_folder

MADE = "made.json"
_LAYOUT = 1
"""Of what is made here: raised when the same model would come out in other bytes."""
_WORDS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
)
"""What a model folder has for its tokenizer; no model has all of them."""
_ADAPTER_CONFIG, _ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""What PEFT calls an adapter's files, and vLLM looks for."""


class Made(Struct, frozen=True, kw_only=True):
    """A variant that is there. `key` is a hash of what it was made from, `note` what is worth knowing of it."""

    variant: Variant
    key: str
    note: str = ""


class Source(Struct, frozen=True, kw_only=True):
    """What variants are made from: a model folder and its hash, examples that some are fitted to, and the folder of
    a LoRA adapter, where one was trained."""

    model: Path
    digest: str
    settings: CompressSettings
    examples: Path | None
    adapter: Path | None
    threads: int

    def key(self, name: str) -> str:
        """Of the variant `name`: equal for equal content."""
        about: list[object] = [_LAYOUT, name, self.digest]
        if name in self.settings.given:
            about = [_LAYOUT, name, digest_of(Path(self.settings.given[name]))]
        if name == ADAPTED and self.adapter is not None:
            about = [_LAYOUT, name, digest_of(self.adapter)]
        if name in FITTED and self.examples is not None:
            about += [self.settings.calibration, digest_of(self.examples)]
        return hashlib.sha256(msgspec.json.encode(about)).hexdigest()


def make(name: str, source: Source, folder: Path, tell: Tell) -> Made:
    """The variant `name`, in `folder`/`name`; made only where it is not there already.

    Raises NotConvertible, WeightsFault, StageFailed, OSError.
    """
    target, key = folder / name, source.key(name)
    there = _there(target)
    if there is not None and there.key == key:
        return there
    shutil.rmtree(target, ignore_errors=True)
    new = folder / f"{name}.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    note = _fill(new, name, source, folder, tell)
    files = tuple(sorted(file.name for file in new.iterdir()))
    size = sum((new / file).stat().st_size for file in files)
    base = _base_of(new) if name == ADAPTED else ""
    variant = Variant(
        name=name, engine=engine_of(name), files=files, bytes=size, adapter=name == ADAPTED, base=base
    )
    made = Made(variant=variant, key=key, note=note)
    for file in files:
        _sync(new / file)
    replace_file(new / MADE, msgspec.json.format(msgspec.json.encode(made), indent=1))
    new.rename(target)
    sync_folder(folder)
    return made


def digest_of(path: Path) -> str:
    """Of a file, or of all files in a folder with their names. Raises OSError."""
    if path.is_dir():
        parts = [[file.name, digest_of(file)] for file in sorted(path.iterdir()) if file.is_file()]
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Before the folder gets its name, so that the name never leads to half a file, even where the power fails."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _there(target: Path) -> Made | None:
    """What lies there whole; None where nothing does."""
    try:
        made = msgspec.json.decode((target / MADE).read_bytes(), type=Made)
        size = sum((target / file).stat().st_size for file in made.variant.files)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return made if size == made.variant.bytes else None


def _fill(new: Path, name: str, source: Source, folder: Path, tell: Tell) -> str:
    if name in source.settings.given:
        return _copy_given(new / f"{name}.gguf", Path(source.settings.given[name]))
    if name in GGUF:
        if find_spec("gguf") is None:
            raise StageFailed(f"{name} is written with the library gguf: pip install 'weir[learn]'.")
        return write_gguf(source.model, new / f"{name}.gguf", cast("Precision", name))
    if name == ADAPTED:
        return _copy_adapter(new, source.adapter)
    if name == "bf16":
        _write_bf16(new, source.model)
        note = ""
    else:
        note = _quantise(new, name, source, folder, tell)
    for file in _WORDS:
        if (source.model / file).exists():
            shutil.copyfile(source.model / file, new / file)
    return note


def _copy_given(path: Path, given: Path) -> str:
    with given.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise StageFailed(f"{given} is no GGUF file: give what llama.cpp's own converter wrote.")
    shutil.copyfile(given, path)
    return f"given as {given.name}"


def _copy_adapter(new: Path, adapter: Path | None) -> str:
    if adapter is None:
        raise NotConvertible("no adapter was trained")
    for file in (_ADAPTER_CONFIG, _ADAPTER_WEIGHTS):
        shutil.copyfile(adapter / file, new / file)
    return f"on {_base_of(new)}"


def _base_of(adapter: Path) -> str:
    """The folder or the name of the model that it was trained on."""
    return str(json.loads((adapter / _ADAPTER_CONFIG).read_bytes())["base_model_name_or_path"])


def _write_bf16(new: Path, model: Path) -> None:
    config = json.loads((model / "config.json").read_bytes())
    if config.get("quantization_config"):
        raise NotConvertible("it is compressed already")
    for name in {"dtype", "torch_dtype"} & set(config) or {"dtype"}:
        config[name] = "bfloat16"
    (new / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if (model / "generation_config.json").exists():
        shutil.copyfile(model / "generation_config.json", new / "generation_config.json")
    write_bfloat16(new / WEIGHTS, read_tensors(model).values())


def _quantise(new: Path, name: str, source: Source, folder: Path, tell: Tell) -> str:
    fitted = name in FITTED
    if source.settings.python is None:
        raise StageFailed(
            f"{name} is made by llm-compressor: name the Python of an environment that has it "
            "(pip install llmcompressor) as `compress.python`, or leave it out of `compress.variants`."
        )
    if fitted and source.examples is None:
        raise StageFailed(f"{name} is fitted to examples, and none were handed over.")
    out = folder / f"{name}.made"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    order = {
        "model": str(source.model.absolute()),
        "form": name,
        "examples": str(source.examples.absolute()) if fitted and source.examples else "",
        "most": source.settings.calibration,
        "threads": source.threads,
        "out": str(out.absolute()),
    }
    module = "distill.student.compressing.quantising"
    run_child(Path(source.settings.python), module, order, folder=folder / f"{name}.child", tell=tell)
    told = json.loads((out / "note.json").read_bytes())
    names = {"config.json", "generation_config.json", INDEX}
    for file in out.iterdir():
        if file.name in names or file.suffix == ".safetensors":
            shutil.move(file, new / file.name)
    shutil.rmtree(out)
    shutil.rmtree(folder / f"{name}.child")
    return _fitted_note(told["group"], told["examples"])


def _fitted_note(group: int, examples: int) -> str:
    groups = {0: "", -1: "one scale for each row, since no group of 32 or more divides all rows"}
    notes = [
        groups.get(group, f"one scale for {group} weights"),
        f"fitted to {examples} examples" if examples else "",
    ]
    return "; ".join(filter(None, notes))
