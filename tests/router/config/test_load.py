"""Reading a configuration: what comes out of a good one, and what is said about a bad one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config.load import Loaded, Problem, load
from tests.router.config.good import ENVIRON, GOOD, Write, changed, only, refused


class TestGood:
    def test_it_is_typed_and_knows_its_folder(self, write: Write, tmp_path: Path) -> None:
        loaded = load(write(), ENVIRON)
        assert loaded.folder == tmp_path
        assert loaded.config.routes["support"].candidates == ("small", "large")
        assert loaded.config.models["large"].price is not None
        assert set(loaded.files) == {tmp_path / "weir.yaml", tmp_path / "prompts/support.txt"}

    def test_a_relative_path_is_read_from_the_working_folder(
        self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write()
        monkeypatch.chdir(tmp_path)
        assert load(Path("weir.yaml"), ENVIRON).folder == tmp_path

    def test_secrets_come_from_the_environment_and_are_not_shown(self, write: Write) -> None:
        loaded = load(write(), {**ENVIRON, "TEAM": " blue\n"})
        assert loaded.secret("${HOSTED_KEY}") == "sk-hosted-secret"
        assert loaded.secret("${TEAM}") == "blue"
        assert "sk-hosted-secret" not in repr(loaded)

    @pytest.mark.parametrize("reference", ["${OTHER}", "HOSTED_KEY", ""])
    def test_only_what_the_file_refers_to_is_a_secret(self, write: Write, reference: str) -> None:
        loaded = load(write(), {**ENVIRON, "OTHER": "x"})
        assert not loaded.has_secret(reference)
        with pytest.raises(LookupError):
            loaded.secret(reference)

    def test_anchors_and_merge_keys_work(self, write: Write) -> None:
        path = write(changed("  small:", "  small: &s").replace("tenants:", "tenants:\n  other: {<<: {}}"))
        assert "other" in load(path, ENVIRON).config.tenants


class TestStandIns:
    @pytest.mark.parametrize("environ", [{}, {"HOSTED_KEY": ""}, {"HOSTED_KEY": " \n"}, {"TEAM": "blue"}])
    def test_they_answer_while_the_key_has_no_value(self, write: Write, environ: dict[str, str]) -> None:
        loaded = load(write(), environ)
        assert loaded.stand_ins == {"hosted": "pretend"}
        assert loaded.upstream_of("large") == "pretend"
        assert loaded.upstream_of("small") == "pretend"

    def test_they_do_not_while_it_has_one(self, write: Write) -> None:
        loaded = load(write(), ENVIRON)
        assert loaded.stand_ins == {}
        assert loaded.upstream_of("large") == "hosted"

    def test_an_unknown_model_is_a_key_error(self, write: Write) -> None:
        with pytest.raises(KeyError):
            load(write(), ENVIRON).upstream_of("huge")

    def test_headers_are_needed_once_the_key_is_there(self, write: Write) -> None:
        problem = only(write(), {"HOSTED_KEY": "k"})
        assert (problem.path, problem.line) == ("upstreams.hosted.headers.x-team", 6)
        assert "TEAM" in problem.message

    def test_without_a_stand_in_the_key_is_needed(self, write: Write) -> None:
        problem = only(write(changed("    stand_in: pretend\n", "")), {"TEAM": "blue"})
        assert (problem.path, problem.line) == ("upstreams.hosted.api_key", 5)
        assert "HOSTED_KEY has no value" in problem.message
        assert "stand_in" in problem.advice

    def test_a_value_that_no_header_can_carry_is_refused_without_being_shown(self, write: Write) -> None:
        problem = only(write(), {**ENVIRON, "HOSTED_KEY": "sk-one\nsk-two"})
        assert (problem.path, problem.line) == ("upstreams.hosted.api_key", 5)
        assert "HOSTED_KEY holds a line break" in problem.message
        assert "sk-" not in f"{problem.message} {problem.advice}"

    @pytest.mark.parametrize(
        ("section", "place", "good", "bad"),
        [
            (
                "alerts: {webhook: '${ADDRESS}'}",
                "alerts.webhook",
                ("http://127.0.0.1:9/x?token=t", "https://hooks.example.com"),
                ("hooks.example.com/tok", "ftp://h/tok", "https://", "http://h:tok/", "http://[tok"),
            ),
            (
                "ledger: {counters: '${ADDRESS}'}",
                "ledger.counters",
                ("redis://:tok@h:6379/1", "rediss://h", "unix:///run/redis.sock?db=1"),
                ("tok", "http://h:6379/tok", "redis://", "redis://h:tok/1", "unix://"),
            ),
        ],
    )
    def test_what_is_no_address_is_refused_without_being_shown(
        self, write: Write, section: str, place: str, good: tuple[str, ...], bad: tuple[str, ...]
    ) -> None:
        path = write(f"{GOOD}{section}\n")
        for address in good:
            load(path, {**ENVIRON, "ADDRESS": address})
        for address in bad:
            problem = only(path, {**ENVIRON, "ADDRESS": address})
            assert problem.path == place
            assert "ADDRESS holds no such address" in problem.message
            assert "tok" not in f"{problem.message} {problem.advice}"

    @pytest.mark.parametrize("name", ["third", "hosted"])
    def test_chains_are_refused(self, write: Write, name: str) -> None:
        third = (
            '  third: {kind: openai, base_url: "http://h/v1", api_key: "${HOSTED_KEY}", stand_in: pretend}\nmodels:'
        )
        text = changed("models:", third, changed("stand_in: pretend", f"stand_in: {name}"))
        problem = only(write(text))
        assert problem.path == "upstreams.hosted.stand_in"
        assert problem.message == f"'{name}' has a stand-in itself"

    def test_a_stand_in_without_a_key_could_never_answer(self, write: Write) -> None:
        assert only(write(changed("    api_key: ${HOSTED_KEY}\n", ""))).path == "upstreams.hosted.stand_in"


class TestDigest:
    def test_it_is_of_contents_alone(self, write: Write, tmp_path: Path) -> None:
        first = load(write(), ENVIRON).digest
        assert load(write(), {}).digest == first
        copy = tmp_path / "copy"
        (tmp_path / "prompts").rename(copy)
        (copy / "prompts").mkdir()
        (copy / "support.txt").rename(copy / "prompts/support.txt")
        (tmp_path / "weir.yaml").rename(copy / "weir.yaml")
        assert load(copy / "weir.yaml", ENVIRON).digest == first

    @pytest.mark.parametrize(
        "addition", ["ledger: {prices: more.yaml}\n", "breaker: {failures: 4}\n", "# a comment\n"]
    )
    def test_every_text_file_counts(self, write: Write, tmp_path: Path, addition: str) -> None:
        more = tmp_path / "more.yaml"
        more.write_text("a", encoding="utf-8")
        plain = load(write(), ENVIRON).digest
        path = write(GOOD + addition)
        assert load(path, ENVIRON).digest != plain
        before = load(path, ENVIRON).digest
        more.write_text("b", encoding="utf-8")
        assert (load(path, ENVIRON).digest != before) == ("prices" in addition)
        (tmp_path / "prompts/support.txt").write_text("Be long.", encoding="utf-8")
        assert load(path, ENVIRON).digest != before


SCHEMA = [
    # (what to change in GOOD, to what, path, line, message holds, advice holds)
    ("routes:\n", "rotues: {}\nroutes:\n", "rotues", 14, "is not a setting", "Did you mean 'routes'?"),
    ("    stand_in:", "    standin:", "upstreams.hosted.standin", 7, "is not a setting", "'stand_in'?"),
    ("output: 10", "outptu: 10", "models.large.price.output", 10, "is missing", ""),
    ("listed_as: gpt", "listed: gpt", "models.small.price.listed", 11, "is not a setting", "input, output"),
    ("base_url: https", "base_url: ftp", "upstreams.hosted.base_url", 4, "http://", ""),
    ("tenants:\n", "ledger: {lease_seconds: 0.01}\ntenants:\n", "ledger.lease_seconds", 16, "1", ""),
    ("tenants:\n", "ledger: {keep_events_days: 9999999}\ntenants:\n", "ledger.keep_events_days", 16, "36500", ""),
    ("tenants:\n", "ledger: {lease_seconds: .inf}\ntenants:\n", "ledger.lease_seconds", 16, "finite", ""),
    ("https://api", "https://me:pw@api", "upstreams.hosted.base_url", 4, "user or password", ""),
    ("kind: scripted", "kind: script", "upstreams.pretend", 8, "'scripted'", ""),
    ("{kind: scripted}", "{}", "upstreams.pretend", 8, "a mapping that says which `kind`", ""),
    ("candidates: [small, large]", "candidates: small", "routes.support.candidates", 15, "a list", ""),
    ("candidates: [small, large]", "candidates: []", "routes.support.candidates", 15, "not be empty", ""),
    ("input: 2.5", "input: .inf", "models.large.price.input", 10, "finite", ""),
    ("input: 2.5", "input: -1", "models.large.price.input", 10, "a finite number of at least 0", ""),
    ("input: 2.5", "input: a lot", "models.large.price.input", 10, "US dollars per million tokens", ""),
    ("{input: 2.5, output: 10}", "10", "models.large.price", 10, "`input` and `output`", ""),
    ("  acme:", "  ac me:", "tenants.ac me", 17, "1 to 128 letters", ""),
    ("  acme:", "  404:", "tenants[404]", 16, "a name must be text", "quotes"),
    ("    routes: [support]\n", "    keys: {k: {hash: abc}}\n", "tenants.acme.keys.k.hash", 18, "sha256", ""),
    ("routes:\n", "server:\nroutes:\n", "server", 14, "a mapping of settings", "It is empty"),
    ("file: prompts/support.txt", "file: ''", "prompts.support.file", 13, "blank", ""),
    ("{kind: scripted}", "{kind: gguf, paht: x}", "upstreams.pretend.paht", 8, "is not a setting", "'path'?"),
    ("kind: openai", "kind: openai\n    openai: 1", "upstreams.hosted.openai", 4, "is not a setting", "base_url"),
    ("listed_as: gpt", "provider: o, listed: gpt", "models.small.price.listed", 11, "a setting", "'listed_as'?"),
    ("prompt: support}", "policy: {kind: fixed, chose: x}}", "routes.support.policy.chose", 15, "a", "'choose'?"),
    ("tenants:", "server: {shutdown_seconds: .inf}\ntenants:", "server.shutdown_seconds", 16, "finite", ""),
]


class TestSchemaProblems:
    @pytest.mark.parametrize(("old", "new", "path", "line", "message", "advice"), SCHEMA)
    def test_each_is_told_with_its_place(
        self, write: Write, old: str, new: str, path: str, line: int, message: str, advice: str
    ) -> None:
        problems = {problem.path: problem for problem in refused(write(changed(old, new))).problems}
        assert path in problems, problems
        assert problems[path].line == line
        assert message in problems[path].message
        assert advice in problems[path].advice

    def test_a_setting_given_twice(self, write: Write) -> None:
        problem = only(write(changed("  pretend:", "  pretend: {kind: scripted}\n  pretend:")))
        assert problem == Problem("upstreams.pretend", 9, "is given twice", "The first is on line 8.")

    @pytest.mark.parametrize("option", ["api_key", "aws_secret_access_key", "azure_ad_token", "vertex_credentials"])
    def test_no_secret_may_hide_among_the_options_of_litellm(self, write: Write, option: str) -> None:
        text = f"  other: {{kind: litellm, provider: azure, options: {{{option}: sk-in-plain-sight}}}}\nmodels:"
        error = refused(write(changed("models:", text)))
        assert [problem.path for problem in error.problems] == [f"upstreams.other.options.{option}"]
        assert "sk-in-plain-sight" not in str(error)


KEY = '{hash: "sha256:' + "0" * 64 + '"}'
NAMES = [
    ("upstream: hosted", "upstream: hostd", "models.large.upstream", "not one of `upstreams`", "'hosted'?"),
    ("stand_in: pretend", "stand_in: nobody", "upstreams.hosted.stand_in", "not one of `upstreams`", "pretend"),
    ("[small, large]", "[small, lrge]", "routes.support.candidates[1]", "not one of `models`", "'large'?"),
    ("[small, large]", "[small, small]", "routes.support.candidates[1]", "a candidate already", ""),
    (
        "prompt: support}",
        "retrieval: {rewriter: smal}}",
        "routes.support.retrieval.rewriter",
        "not one of `models`",
        "'small'?",
    ),
    ("prompt: support}", "prompt: suport}", "routes.support.prompt", "not one of `prompts`", "'support'?"),
    ("routes: [support]", "routes: [auto]", "tenants.acme.routes[0]", "not one of `routes`", "support"),
    ("routes: [support]", "models: [support]", "tenants.acme.models[0]", "not one of `models`", "large, small"),
    (
        "routes: [support]",
        f"keys: {{k: {KEY[:-1]}, routes: [x]}}}}",
        "tenants.acme.keys.k.routes[0]",
        "not one of `routes`",
        "support",
    ),
    (
        "routes: [support]",
        f"keys: {{k: {KEY[:-1]}, models: [x]}}}}",
        "tenants.acme.keys.k.models[0]",
        "not one of `models`",
        "small",
    ),
    (
        "prompt: support}",
        "policy: {kind: fixed, choose: smal}}",
        "routes.support.policy.choose",
        "not one of the route's",
        "'small'?",
    ),
    (
        "routes: [support]",
        "prompts: {support: x}",
        "tenants.acme.prompts.support",
        "not one of `prompts`",
        "support",
    ),
    (
        "routes: [support]",
        "prompts: {suport: support}",
        "tenants.acme.prompts.suport",
        "one of `routes`",
        "'support'?",
    ),
    (
        "routes:\n  s",
        "routes:\n  small: {candidates: [large]}\n  s",
        "routes.small",
        "a model has this name too",
        "",
    ),
    ("routes:\n  s", "routes:\n  direct: {candidates: [large]}\n  s", "routes.direct", "is kept for requests", ""),
    ("  acme:", '  "pool:x": {}\n  acme:', "tenants.pool:x", "kept for caches", ""),
    ("routes: [support]", f"keys: {{a: {KEY}, b: {KEY}}}", "tenants.acme.keys.b.hash", "tenants.acme.keys.a", ""),
    (
        "routes: [support]",
        f"keys: {{a: {KEY}}}\nstaff:\n  ann: {{hash: {KEY.split()[1][:-1]}, role: viewer}}",
        "staff.ann.hash",
        "tenants.acme.keys.a",
        "a key of its own",
    ),
]


class TestNames:
    @pytest.mark.parametrize(("old", "new", "path", "message", "advice"), NAMES)
    def test_each_is_told_with_its_place(
        self, write: Write, old: str, new: str, path: str, message: str, advice: str
    ) -> None:
        problem = only(write(changed(old, new)))
        assert problem.path == path
        assert problem.line is not None
        assert message in problem.message
        assert advice in problem.advice


class TestFiles:
    @pytest.mark.parametrize(
        ("addition", "place"),
        [
            ("ledger: {prices: gone.yaml}\n", "ledger.prices"),
            ("  local: {kind: gguf, path: gone.gguf}\n", "upstreams.local.path"),
            ("  other: {kind: scripted, knowledge: gone.jsonl}\n", "upstreams.other.knowledge"),
            ("  local: {kind: gguf, path: prompts}\n", "upstreams.local.path"),
        ],
    )
    def test_every_other_kind(self, write: Write, addition: str, place: str) -> None:
        text = addition + GOOD if place == "ledger.prices" else changed("models:\n", addition + "models:\n")
        problem = only(write(text))
        assert problem.path == place
        assert "is a folder" in problem.message if "prompts" in addition else "is not there" in problem.message

    def test_a_model_counts_by_size_and_time(self, write: Write, tmp_path: Path) -> None:
        model = tmp_path / "small.gguf"
        model.write_bytes(b"GGUF")
        path = write(changed("models:\n", "  local: {kind: gguf, path: small.gguf}\nmodels:\n"))
        loaded = load(path, ENVIRON)
        assert model in loaded.files
        assert load(path, ENVIRON).digest == loaded.digest
        model.write_bytes(b"GGUF, another")
        assert load(path, ENVIRON).digest != loaded.digest


WHOLE = [
    (b"", "holds nothing", None),
    (b"# only a comment\n", "holds nothing", None),
    (b"- a\n", "no mapping of settings", None),
    (b"just text", "no mapping of settings", None),
    (b"a: 1\nb: [1,\n", "not valid YAML", 3),
    (b"a:\n\tb: 1\n", "not valid YAML", 2),
    (b"a: 1\n---\nb: 2\n", "found another document", 2),
    (b"a: !!python/object:os.system x\n", "could not determine a constructor", 1),
    (b"a: 1\nb: \xff\xfe\n", "other than UTF-8", 2),
    (b"a: " + b"[" * 3000, "nested too deeply", None),
    (b"a: &a [*a]\n", "nested too deeply", 1),
    (b"a: 2024-02-31\n", "date or number that does not exist", None),
    (b"a: " + b"x" * (1 << 20), "larger than", None),
]


class TestWholeFile:
    @pytest.mark.parametrize(("text", "message", "line"), WHOLE)
    def test_what_cannot_be_a_configuration(
        self, write: Write, text: bytes, message: str, line: int | None
    ) -> None:
        problem = only(write(text))
        assert problem.path == ""
        assert message in problem.message
        assert problem.line == line

    def test_anchors_cannot_fill_the_memory(self, write: Write) -> None:
        rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
        assert "more than 100000 values" in only(write("\n".join(rows))).message

    @pytest.mark.parametrize("where", ["nowhere.yaml", "prompts"])
    def test_what_cannot_be_opened_says_so(self, write: Write, where: str) -> None:
        error = refused(write().parent / where)
        assert error.unreadable
        assert "cannot be read" in str(error)
        assert not refused(write("")).unreadable


class TestTelling:
    def test_all_kinds_of_problems_at_once_in_the_order_of_the_file(self, write: Write) -> None:
        text = changed("base_url: https", "base_url: ftp")
        text = changed("    stand_in: pretend\n", "", text)
        text = changed("upstream: hosted", "upstream: hostd", text)
        text = changed("support.txt", "gone.txt", text)
        error = refused(write(text + "    route: 3\n"), {})
        assert [problem.path for problem in error.problems] == [
            "upstreams.hosted.base_url",
            "upstreams.hosted.api_key",
            "upstreams.hosted.headers.x-team",
            "models.large.upstream",
            "prompts.support.file",
            "tenants.acme.route",
        ]
        listing = str(error)
        assert listing.startswith(f"{error.path} has 6 problems:\n")
        assert "  line 9     models.large.upstream: 'hostd' is not one of `upstreams`\n" in listing
        assert "             Did you mean 'hosted'?\n" in listing

    @pytest.mark.parametrize("old", ["${HOSTED_KEY}", '"${TEAM}"', "https://api.example.com/v1/", "2.5"])
    def test_a_value_in_the_wrong_place_is_never_quoted(self, write: Write, old: str) -> None:
        for secret in (
            "sk-in-plain-sight",
            "http://u:sk-in-plain-sight@h/v1",
            "!sk-in-plain-sight",
            "*sk-in-plain-sight",
        ):
            error = refused(write(changed(old, secret)))
            assert "sk-in-plain-sight" not in str(error) + repr(error.problems)

    @given(st.text(max_size=60))
    def test_any_text_is_read_or_refused(self, tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
        path = tmp_path_factory.getbasetemp() / "any.yaml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        assert refused(path).problems

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.sampled_from(["hosted", "small", "openai", "${X}", ""]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["kind", "hosted", "small", "stand_in", "candidates", 4]), inner, max_size=3
                )
            ),
            max_leaves=8,
        ),
        st.sampled_from(["upstreams", "models", "prompts", "routes", "tenants", "server"]),
    )
    def test_any_value_anywhere_is_told_and_nothing_breaks(
        self, tmp_path_factory: pytest.TempPathFactory, value: object, section: str
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "shape.yaml"
        path.write_text(json.dumps({section: value}), encoding="utf-8")
        assert refused(path).problems


def test_loaded_cannot_be_changed(write: Write) -> None:
    loaded: Loaded = load(write(), ENVIRON)
    with pytest.raises(AttributeError):
        loaded.digest = "x"  # type: ignore[misc]


def test_a_stores_folder_must_be_there_and_what_is_in_it_is_no_setting(write: Write, tmp_path: Path) -> None:
    path = write(changed("models:", "stores: {help: {folder: docs, tenants: [acme]}}\nmodels:"))
    problem = only(path)
    assert (problem.path, "docs is not there" in problem.message) == ("stores.help.folder", True)
    folder = path.parent / "docs"
    folder.mkdir()
    before = load(path, ENVIRON)
    (folder / "new.md").write_text("New.")
    after = load(path, ENVIRON)
    assert (after.digest, after.files) == (before.digest, before.files)
    assert not any(file.is_relative_to(folder) for file in after.files)
