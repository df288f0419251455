"""The example business is what its README says: large enough, consistent, and free of leaks."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from evals.gating.rules import read_rules
from evals.scorers.contains_facts import Fact
from evals.suite import read_suite
from router.config.schema import Config, ScriptedUpstream

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "examples/support"
GENERATED = ("knowledge.jsonl", "log.jsonl", "suite/cases.jsonl", "suite-help/cases.jsonl")
HARD_KINDS = {
    "multi_hop",
    "comparison",
    "calculation",
    "policy_edge",
    "complaint",
    "out_of_scope",
    "adversarial",
    "ambiguous",
}
UNANSWERABLE = {"out_of_scope", "adversarial", "ambiguous"}
CONFUSABLE = [
    ("enable_two_factor", "disable_two_factor"),
    ("cancel_subscription", "pause_subscription"),
    ("pause_subscription", "skip_delivery"),
    ("return_refund", "exchange_item"),
    ("change_delivery_date", "cancel_order"),
    ("late_delivery", "missing_package"),
]
Row = dict[str, Any]


def rows(name: str) -> list[Row]:
    return [json.loads(line) for line in (SUPPORT / name).read_text(encoding="utf-8").splitlines()]


INTENTS, FOLLOWUPS, HARD = rows("intents.jsonl"), rows("followups.jsonl"), rows("hard.jsonl")
LOG, KNOWLEDGE = rows("log.jsonl"), rows("knowledge.jsonl")
SUITE = read_suite(SUPPORT / "suite")
HELP = read_suite(SUPPORT / "suite-help")
DOCUMENTS = {path.name: path.read_text(encoding="utf-8") for path in (SUPPORT / "documents").glob("*.md")}
BY_INTENT = {row["intent"]: row for row in INTENTS}


def bare(text: str) -> str:
    """`text` without case, signs and blanks around words."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def front_matter(document: str) -> Row:
    parsed: Row = yaml.safe_load(document.split("---\n")[1])
    return parsed


def user_texts(messages: list[Row]) -> list[str]:
    return [message["content"] for message in messages if message["role"] == "user"]


def states(answer: str, facts: list[str]) -> bool:
    return all(Fact.parse(fact).stated_in(answer) for fact in facts)


# Documents


def test_there_are_about_forty_documents_in_two_languages() -> None:
    languages = Counter(front_matter(text)["language"] for text in DOCUMENTS.values())
    assert languages["en"] >= 34
    assert languages["es"] == 6
    assert 38 <= sum(languages.values()) <= 46


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_a_document_is_of_use(name: str) -> None:
    text = DOCUMENTS[name]
    head = front_matter(text)
    assert head.keys() == {"title", "updated", "language"}
    assert isinstance(head["updated"], date)
    assert 150 <= len(text.split("---\n", 2)[2].split()) <= 500
    assert text.count("\n## ") >= 2
    assert f"\n# {head['title']}\n" in text
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert set(links) <= DOCUMENTS.keys() - {name}


def test_every_document_is_linked_from_another() -> None:
    linked = {link for text in DOCUMENTS.values() for link in re.findall(r"\]\(([^)]+)\)", text)}
    assert DOCUMENTS.keys() - linked <= {"contact.md", "es-restablecer-contrasena.md"}


def test_prices_are_the_same_everywhere() -> None:
    """Every dollar amount in an answer stands in a document; only hard questions need arithmetic."""
    known = set(re.findall(r"\$[\d.,]*\d", " ".join(DOCUMENTS.values())))
    said = {row["intent"]: f"{row['answer']} {row['answer_es']}" for row in INTENTS}
    said |= {f"{row['intent']}: {row['text']}": row["answer"] for row in FOLLOWUPS}
    strangers = {name: set(re.findall(r"\$[\d.,]*\d", text)) - known for name, text in said.items()}
    assert {name: amounts for name, amounts in strangers.items() if amounts} == {}


# Intents


def test_there_are_forty_intents_with_the_confusable_ones() -> None:
    assert len(BY_INTENT) == len(INTENTS) == 40
    assert {name for pair in CONFUSABLE for name in pair} <= BY_INTENT.keys()


@pytest.mark.parametrize("intent", sorted(BY_INTENT))
def test_an_intent_is_phrased_in_many_ways(intent: str) -> None:
    phrasings = BY_INTENT[intent]["phrasings"]
    languages = Counter(phrasing["lang"] for phrasing in phrasings)
    styles = Counter(phrasing["style"] for phrasing in phrasings)
    assert len(phrasings) >= 15
    assert languages.keys() == {"en", "es"}
    assert languages["es"] >= 4
    assert styles.keys() == {"plain", "typo", "slang", "terse", "long"}
    assert styles["typo"] >= 3
    assert styles["slang"] >= 2


@pytest.mark.parametrize("intent", sorted(BY_INTENT))
def test_facts_stand_in_the_answers_and_in_the_cited_documents(intent: str) -> None:
    row = BY_INTENT[intent]
    assert row["facts"]
    assert row["documents"]
    assert states(row["answer"], row["facts"])
    assert states(row["answer_es"], row["facts"])
    assert states("\n".join(DOCUMENTS[name] for name in row["documents"]), row["facts"])


def test_facts_tell_intents_apart() -> None:
    """The answer to one question must not pass for the answer to another, above all to a similar one."""
    mistaken = [
        (asked["intent"], answered["intent"])
        for asked in INTENTS
        for answered in INTENTS
        if asked is not answered and states(answered["answer"], asked["facts"])
    ]
    assert mistaken == []


def test_no_question_stands_twice() -> None:
    questions = [bare(phrasing["text"]) for row in INTENTS for phrasing in row["phrasings"]]
    questions += [bare(row["text"]) for row in HARD]
    questions += [bare(row["text"]) for row in rows("suite/phrasings.jsonl")]
    assert [text for text, count in Counter(questions).items() if count > 1] == []


def test_followups_belong_to_intents_and_some_need_their_conversation() -> None:
    assert len(FOLLOWUPS) >= 60
    assert {row["intent"] for row in FOLLOWUPS} == BY_INTENT.keys()
    answers = defaultdict(set)
    for row in FOLLOWUPS:
        answers[row["text"]].add(row["answer"])
    assert sum(len(found) >= 4 for found in answers.values()) >= 1
    pairs = [(row["intent"], row["lang"], bare(row["text"])) for row in FOLLOWUPS]
    assert len(set(pairs)) == len(pairs)


# Hard questions


def test_there_are_sixty_hard_questions_of_every_kind() -> None:
    kinds = Counter(row["kind"] for row in HARD)
    assert len(HARD) >= 60
    assert kinds.keys() == HARD_KINDS
    assert min(kinds.values()) >= 5
    assert Counter(row["lang"] for row in HARD)["es"] >= 8


@pytest.mark.parametrize("row", HARD, ids=lambda row: row["text"][:40])
def test_a_hard_question_has_an_answer_with_its_facts_or_none(row: Row) -> None:
    assert row["note"]
    if row["kind"] in UNANSWERABLE:
        assert row["expected"] == []
        assert "answer" not in row
        return
    assert row["expected"]
    assert states(row["answer"], row["expected"])
    assert set(row["documents"]) <= DOCUMENTS.keys()
    assert row["documents"]


# What build.py makes


def test_the_generated_files_are_what_build_makes(tmp_path: Path) -> None:
    build = [sys.executable, str(SUPPORT / "build.py"), "--out", str(tmp_path)]
    subprocess.run(build, check=True, timeout=60)
    for name in GENERATED:
        assert (tmp_path / name).read_bytes() == (SUPPORT / name).read_bytes(), (
            f"{name}: run {' '.join(build[1:2])}"
        )


def test_knowledge_answers_every_intent_in_both_languages_and_the_hard_questions() -> None:
    by_id = {row["id"]: row for row in KNOWLEDGE}
    assert len(by_id) == len(KNOWLEDGE)
    assert {f"{intent}.{lang}" for intent in BY_INTENT for lang in ("en", "es")} <= by_id.keys()
    for intent, row in BY_INTENT.items():
        assert by_id[f"{intent}.en"]["answer"] == row["answer"]
        assert by_id[f"{intent}.es"]["answer"] == row["answer_es"]
    answers = {row["answer"] for row in KNOWLEDGE}
    assert {row["answer"] for row in (*HARD, *FOLLOWUPS) if "answer" in row} <= answers


def test_the_log_is_long_enough_and_in_order() -> None:
    times = [datetime.fromisoformat(row["at"]) for row in LOG]
    assert len(LOG) >= 600
    assert times == sorted(times)
    assert (times[-1] - times[0]).days == 13
    assert {row["tenant"] for row in LOG} == {"acme", "globex"}
    assert {row["stream"] for row in LOG} == {True, False}
    night = sum(time.hour in (8, 9, 10, 11) for time in times)
    noon = sum(time.hour in (16, 17, 18, 19) for time in times)
    assert noon > 5 * night
    assert {row["intent"] for row in LOG} == BY_INTENT.keys() | {"unknown"}


def test_the_log_holds_conversations_whose_history_grows() -> None:
    conversations = defaultdict(list)
    for row in LOG:
        conversations[row["conversation"]].append(row)
    lengths = Counter(len(turns) for turns in conversations.values())
    assert sum(count for length, count in lengths.items() if length > 1) >= 80
    assert lengths.keys() == {1, 2, 3, 4, 5}
    for turns in conversations.values():
        assert [row["turn"] for row in turns] == list(range(1, len(turns) + 1))
        for before, after in pairwise(turns):
            said = len(before["messages"])
            assert after["messages"][:said] == before["messages"]
            assert [message["role"] for message in after["messages"][said:]] == ["assistant", "user"]
            assert (before["tenant"], before["route"]) == (after["tenant"], after["route"])


def test_assistant_turns_in_the_log_are_canonical_answers() -> None:
    canonical = {row[key] for row in INTENTS for key in ("answer", "answer_es")}
    canonical |= {row["answer"] for row in FOLLOWUPS}
    said = {m["content"] for row in LOG for m in row["messages"] if m["role"] == "assistant"}
    assert said
    assert said <= canonical


def test_the_log_repeats_itself_as_a_help_chat_does() -> None:
    requests = Counter((row["tenant"], row["route"], json.dumps(row["messages"])) for row in LOG)
    assert 0.25 <= 1 - len(requests) / len(LOG) <= 0.30
    wordings = {bare(user_texts(row["messages"])[-1]) for row in LOG if row["intent"] != "unknown"}
    assert len(wordings) > 250
    hard = {bare(row["text"]) for row in HARD}
    asked = sum(bare(user_texts(row["messages"])[-1]) in hard for row in LOG)
    assert 0.09 <= asked / len(LOG) <= 0.15
    commonest = Counter(row["intent"] for row in LOG if row["intent"] != "unknown").most_common()
    assert commonest[0][1] > 8 * commonest[-1][1]
    assert commonest[-1][1] >= 4


# The suite


def test_the_suite_is_large_and_covers_everything() -> None:
    segments = Counter(case.segment for case in SUITE.cases)
    assert len(SUITE.cases) >= 150
    assert segments.keys() == BY_INTENT.keys() | HARD_KINDS
    assert min(segments[intent] for intent in BY_INTENT) >= 6
    assert [scorer.kind for scorer in SUITE.scorers] == ["contains_facts"]
    assert all(case.expected["facts"] for case in SUITE.cases)
    assert sum(len(case.messages) > 1 for case in SUITE.cases) >= 16
    assert sum(case.metadata["lang"] == "es" for case in SUITE.cases) >= 40
    unanswerable = {case.segment for case in SUITE.cases if not case.metadata["answerable"]}
    assert unanswerable == UNANSWERABLE


def test_the_suite_asks_nothing_that_was_seen_elsewhere() -> None:
    seen = {bare(phrasing["text"]) for row in INTENTS for phrasing in row["phrasings"]}
    seen |= {bare(row["text"]) for row in (*FOLLOWUPS, *HARD)}
    seen |= {bare(question) for row in KNOWLEDGE for question in row["questions"]}
    seen |= {bare(text) for row in LOG for text in user_texts(row["messages"])}
    asked = [bare(m["content"]) for case in SUITE.cases for m in case.messages if m["role"] == "user"]
    assert set(asked) & seen == set()


def test_the_canonical_answers_pass_the_suite() -> None:
    for case in SUITE.cases:
        if case.segment in BY_INTENT and len(case.messages) == 1:
            row = BY_INTENT[case.segment]
            answer = row["answer_es" if case.metadata["lang"] == "es" else "answer"]
            assert states(answer, case.expected["facts"]), case.id


# The configuration


def config() -> Config:
    return Config.model_validate(yaml.safe_load((SUPPORT / "weir.yaml").read_text(encoding="utf-8")))


def test_the_configuration_is_valid_and_its_files_are_there() -> None:
    weir = config()
    assert {"support", "auto", "help"} < weir.routes.keys()
    assert len(weir.routes) == 4
    assert all((SUPPORT / prompt.file).is_file() for prompt in weir.prompts.values())
    scripted = [upstream for upstream in weir.upstreams.values() if isinstance(upstream, ScriptedUpstream)]
    assert [upstream.knowledge for upstream in scripted] == ["knowledge.jsonl"]


def test_the_demo_keys_are_those_of_the_documentation() -> None:
    for tenant in ("acme", "globex"):
        digest = hashlib.sha256(f"sk-weir-demo-{tenant}".encode()).hexdigest()
        assert config().tenants[tenant].keys["demo"].hash == f"sha256:{digest}"


def test_the_log_asks_only_what_its_tenant_may() -> None:
    weir = config()
    for row in LOG:
        allowed = weir.tenants[row["tenant"]].routes or weir.routes.keys()
        assert row["route"] in allowed
    assert {row["route"] for row in LOG} == weir.routes.keys() - {"help"}
    assert weir.tenants["acme"].routes is None
    assert set(weir.tenants["globex"].routes or ()) < weir.routes.keys()


def test_no_other_company_is_named() -> None:
    """Addresses end in .example or stand in the configuration; phone numbers are fictitious ones."""
    texts = [*DOCUMENTS.values(), (SUPPORT / "prompts/support.md").read_text(encoding="utf-8")]
    texts += [json.dumps(row, ensure_ascii=False) for row in (*INTENTS, *FOLLOWUPS, *HARD, *KNOWLEDGE)]
    hosts: set[str] = set()
    for text in texts:
        hosts |= set(re.findall(r"(?:[\w-]+\.)+(?:com|net|org|io|co|us|mx|example)\b", text))
        assert set(re.findall(r"1-800-\d{3}-\d{4}", text)) <= {"1-800-555-0142"}
    assert {host for host in hosts if not host.endswith(".example")} == set()
    brands = (
        r"\b(Amazon|Google|Apple|PayPal|Visa|Mastercard|FedEx|UPS|USPS|DHL|Keurig|Nespresso|Starbucks|OpenAI)\b"
    )
    assert [text[:80] for text in texts if re.search(brands, text)] == []


# Answers from the help pages


def test_each_tenant_has_its_own_store_of_the_help_pages() -> None:
    weir = config()
    assert set(weir.stores["help"].tenants) == weir.tenants.keys()
    assert (SUPPORT / weir.stores["help"].folder).samefile(SUPPORT / "documents")
    assert weir.routes["help"].retrieval is not None
    assert weir.routes["help"].retrieval.stores == ("help",)


def test_the_suite_about_help_pages_asks_what_they_answer_and_what_they_do_not() -> None:
    refused = [case for case in HELP.cases if case.expected["refuse"]]
    expected = [pages for case in HELP.cases for pages in case.expected.get("documents", ())]
    cited = {page for pages in expected for page in pages.split("|")}
    assert cited <= DOCUMENTS.keys()
    assert len(cited) > 35
    assert len(HELP.cases) - len(refused) >= 40
    assert len(refused) >= 20
    assert all(("documents" in case.expected) != case.expected["refuse"] for case in HELP.cases)
    assert {case.segment for case in refused} == {"out_of_scope", "adversarial"}


def test_the_gate_about_help_pages_is_one_and_knows_its_scorers() -> None:
    rules = read_rules(SUPPORT / "gate-help.yaml")
    assert rules.scorers.keys() <= {scorer.called for scorer in HELP.scorers}
