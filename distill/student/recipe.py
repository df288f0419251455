"""The recipe of a student: a YAML file that says what it learns from, from whom, how, and what it must be worth.

The non-obvious decision: paths are relative to the file, so that a recipe and its data move together, and `python`s
of other environments are too; a command line may say others, since they are this machine's and not the student's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, JsonValue, ValidationError, ValidationInfo, model_validator

from distill.student.compressing.catalogue import ADAPTED
from distill.student.compressing.settings import CompressSettings, EngineSettings
from distill.student.curating.settings import CurateSettings
from distill.student.gating.settings import GateSettings
from distill.student.judging import JudgeSettings
from distill.student.mining.mine import MineSettings
from distill.student.searching.curve import CurveSettings
from distill.student.searching.search import SearchSettings
from distill.student.teacher import TeacherSettings
from distill.student.training import recipe as training
from evals.reading import Unreadable, faults_in, yaml_in
from evals.targets.prices import stated_price
from router.config.values import Name, Section

_FOLDER = "folder"
"""Of the validation's context: that of the file."""


class RecipeUnusable(ValueError):
    """The message names each problem with its path."""


def _beside(value: Path, told: ValidationInfo) -> Path:
    folder = (told.context or {}).get(_FOLDER)
    return value.expanduser() if folder is None else Path(folder) / value.expanduser()


def _trainable(value: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    training.of_plain(value)
    return value


def _priced(value: str) -> str:
    if value:
        stated_price(value)
    return value


BesideIt = Annotated[Path, AfterValidator(_beside)]


class Recipe(Section):
    """`tenant` is "" where all of the route's tenants learn together."""

    name: Name = Field(description="Of the work folder, and in progress.")
    route: Name = Field(description="The route that the student will answer for.")
    tenant: str = Field("", description="Whose traffic it learns from; left out where all of them learn together.")
    config: BesideIt = Field(
        Path("weir.yaml"), validate_default=True, description="The configuration: consents, models, prices."
    )
    logs: tuple[BesideIt, ...] = Field(
        (), description="Logs of JSON lines; left out, what this Weir wrote down itself (`learning.answers`)."
    )
    suite: BesideIt | None = Field(None, description="An eval suite: its cases are tuned on and tested on.")
    teacher: TeacherSettings = Field(TeacherSettings(), description="Who teaches, and for how much.")
    judge: JudgeSettings = Field(JudgeSettings(), description="Who says what words do not tell, and for how much.")
    student_price: Annotated[str, AfterValidator(_priced)] = Field(
        "",
        description="What the student takes, in dollars per million tokens: `input=0.02,output=0.08`. Left out, "
        "the price of the configuration's model that is this student, if there is one; else nothing.",
    )
    mine: MineSettings = Field(MineSettings(), description="Which intents are looked for.")
    curate: CurateSettings = Field(CurateSettings(), description="What is learned from, tuned on and tested on.")
    train: Annotated[dict[str, JsonValue], AfterValidator(_trainable)] = Field(
        {}, description="How it is trained; left out, `tiny`: a small Llama from scratch."
    )
    texts: tuple[BesideIt, ...] = Field((), description="Plain text that a student from scratch reads first.")
    train_python: BesideIt | None = Field(
        None, description="The Python of an environment with torch, transformers and TRL; left out, this one."
    )
    compress: CompressSettings = Field(CompressSettings(), description="Which forms of the weights are made.")
    engines: EngineSettings = Field(EngineSettings(), description="What runs them while they are measured.")
    gate: GateSettings = Field(GateSettings(), description="What it must be worth.")
    search: SearchSettings = Field(SearchSettings(), description="What `weir distill search` tries.")
    curve: CurveSettings = Field(CurveSettings(), description="What `weir distill curve` tries.")
    licence: str = Field("", description="Of the student's weights, such as apache-2.0; for its card.")
    base_licence: str = Field("", description="Of the model in `train.base`.")
    teacher_terms: str = Field(
        "", description="Whether the teacher's terms allow learning from its answers, and where they say so."
    )

    @model_validator(mode="after")
    def _turns_are_one(self) -> Self:
        if self.gate.turns > self.curate.turns:
            raise ValueError("`gate.turns` are more than `curate.turns`: it would answer turns that it never saw")
        return self

    @model_validator(mode="after")
    def _adapter_is_trained(self) -> Self:
        if ADAPTED in self.compress.variants and self.training.adapter.kind != ADAPTED:
            raise ValueError("`compress.variants` has `lora`: set `train.adapter.kind: lora`, with a `train.base`")
        return self

    @property
    def training(self) -> training.Recipe:
        return training.of_plain(self.train)


def read_recipe(path: Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe in the file, with settings of a command line in the place of its own; `changes` are by dotted
    names, such as `teacher.cap_usd`, and their paths are relative to the working folder.

    Raises RecipeUnusable with every problem.
    """
    try:
        data = yaml_in(path)
    except Unreadable as error:
        raise RecipeUnusable(f"{error}") from error
    if not isinstance(data, dict):
        raise RecipeUnusable(f"{path}: not a recipe: it must begin with settings such as `route: support`")
    return recipe_of({"name": path.parent.resolve().name, **data}, changes, path=path)


def recipe_of(data: Mapping[str, Any], changes: Mapping[str, Any] | None = None, *, path: Path) -> Recipe:
    """As `read_recipe`; `path` is where it is from, or would be."""
    whole = {name: dict(value) if isinstance(value, dict) else value for name, value in data.items()}
    for dotted, value in (changes or {}).items():
        place, names = whole, dotted.split(".")
        for name in names[:-1]:
            place[name] = dict(place.get(name) or {})
            place = place[name]
        place[names[-1]] = _absolute(value)
    try:
        recipe = Recipe.model_validate(whole, context={_FOLDER: path.parent.absolute()})
    except ValidationError as error:
        raise RecipeUnusable("\n".join(faults_in(error, whole, Recipe, str(path)))) from error
    return _anchored(recipe, path.parent.absolute())


def written(recipe: Recipe) -> dict[str, Any]:
    """As JSON and YAML have it; `recipe_of` reads it again from any folder."""
    return recipe.model_dump(mode="json", exclude_defaults=True)


def _absolute(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_absolute(each) for each in value]
    return value


def _anchored(recipe: Recipe, folder: Path) -> Recipe:
    """Those paths, too, that are plain strings, since a configuration has the same settings."""
    compress, engines = recipe.compress, recipe.engines
    given = {name: str(folder / file) for name, file in compress.given.items()}
    python = None if compress.python is None else str(folder / compress.python)
    compress = compress.model_copy(update={"given": given, "python": python})
    if engines.vllm is not None:
        vllm = engines.vllm.model_copy(update={"python": str(folder / engines.vllm.python)})
        engines = engines.model_copy(update={"vllm": vllm})
    base = recipe.training.base if recipe.train else ""
    here = str(folder / base) if base and (folder / base).is_dir() else base
    train = {**recipe.train, "base": here} if here != base else recipe.train
    return recipe.model_copy(update={"compress": compress, "engines": engines, "train": train})
