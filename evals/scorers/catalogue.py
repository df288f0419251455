"""All scorers, by the `kind` that a suite names."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import Field, TypeAdapter

from evals.scorers.choice import Choice, ChoiceSettings
from evals.scorers.citations import Citations, CitationsSettings
from evals.scorers.contains_facts import ContainsFacts, ContainsFactsSettings
from evals.scorers.exact import Exact, ExactSettings
from evals.scorers.grounded import Grounded, GroundedSettings
from evals.scorers.json_fields import JsonFields, JsonFieldsSettings
from evals.scorers.json_schema import JsonSchema, JsonSchemaSettings
from evals.scorers.judge import Judge, RubricSettings
from evals.scorers.normalised import Normalised, NormalisedSettings
from evals.scorers.numeric import Numeric, NumericSettings
from evals.scorers.pairwise import Pairwise, PairwiseSettings
from evals.scorers.port import Instruments, Scorer
from evals.scorers.refusal import Refusal, RefusalSettings
from evals.scorers.regex import Regex, RegexSettings
from evals.scorers.similarity import Similarity, SimilaritySettings
from evals.scorers.tool_call import ToolCalls, ToolCallSettings

ScorerSettings: TypeAlias = Annotated[
    ExactSettings
    | NormalisedSettings
    | NumericSettings
    | RegexSettings
    | ChoiceSettings
    | JsonSchemaSettings
    | JsonFieldsSettings
    | ToolCallSettings
    | ContainsFactsSettings
    | SimilaritySettings
    | GroundedSettings
    | CitationsSettings
    | RefusalSettings
    | RubricSettings
    | PairwiseSettings,
    Field(discriminator="kind"),
]

_SCORERS: dict[type[Any], Any] = {
    ExactSettings: Exact,
    NormalisedSettings: Normalised,
    NumericSettings: Numeric,
    RegexSettings: Regex,
    ChoiceSettings: Choice,
    JsonSchemaSettings: JsonSchema,
    JsonFieldsSettings: JsonFields,
    ToolCallSettings: ToolCalls,
    ContainsFactsSettings: ContainsFacts,
    SimilaritySettings: Similarity,
    GroundedSettings: Grounded,
    CitationsSettings: Citations,
    RefusalSettings: Refusal,
    RubricSettings: Judge,
    PairwiseSettings: Pairwise,
}
KINDS = tuple(scorer.kind for scorer in _SCORERS.values())
SETTINGS: TypeAdapter[ScorerSettings] = TypeAdapter(ScorerSettings)


def scorer_of(settings: ScorerSettings, instruments: Instruments) -> Scorer:
    """Raises ImportError, with advice, where a scorer needs a package that is not installed.

    Raises evals.judging.families.SameFamily, a ValueError with advice, where a judge is of the candidate's family.
    """
    scorer: Scorer = _SCORERS[type(settings)](settings, instruments)
    return scorer
