"""What an estimate is made of, and that it never reaches for the network."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.estimates import EXACT_CHARACTERS, PICTURE, PICTURE_LOW_DETAIL, TokenEstimator, table_folders

LITELLM = importlib.util.find_spec("litellm")
with_table = pytest.mark.skipif(LITELLM is None, reason="no litellm, so no o200k_base table on this disk")


def chat(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages), **fields}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.fixture(scope="module")
def by_bytes() -> TokenEstimator:
    return TokenEstimator(folders=[])


@pytest.fixture(scope="module")
def exact() -> TokenEstimator:
    estimator = TokenEstimator()
    assert estimator.load()
    return estimator


@with_table
def test_a_lone_hello_is_the_eight_tokens_that_openai_bills(exact: TokenEstimator) -> None:
    usage = exact.estimate(chat(user("hello")), "Hello! How can I help you today?")
    assert (usage.prompt, usage.completion) == (8, 9)
    assert (usage.source, usage.method) == ("estimated", "tiktoken:o200k_base")


def test_without_a_table_four_bytes_are_a_token(by_bytes: TokenEstimator) -> None:
    usage = by_bytes.estimate({"model": "m", "prompt": "12345678"}, "Grüße")
    assert (usage.prompt, usage.completion) == (2, 2)
    assert (usage.source, usage.method) == ("estimated", "bytes/4")
    assert by_bytes.load() is False


@pytest.mark.parametrize(
    ("body", "prompt"),
    [
        pytest.param(chat(user("12345678")), 3 + 3 + 3, id="a message: reply, message, 12 bytes with its role"),
        pytest.param(chat(user(None)), 3 + 3 + 1, id="no content"),
        pytest.param(chat(user("12345678"), user("12345678")), 3 + 2 * 3 + 6, id="two messages"),
        pytest.param(chat({**user("1234"), "name": "1234"}), 3 + 3 + 1 + 3, id="a named message"),
        pytest.param(chat(user([{"type": "text", "text": "12345678"}])), 3 + 3 + 3, id="a text part"),
        pytest.param(
            chat(user([{"type": "image_url", "image_url": {"url": "data:" + "x" * 10**6}}])),
            3 + 3 + 1 + PICTURE,
            id="a picture",
        ),
        pytest.param(
            chat(user([{"type": "image_url", "image_url": {"url": "u", "detail": "low"}}])),
            3 + 3 + 1 + PICTURE_LOW_DETAIL,
            id="a picture in low detail",
        ),
        pytest.param(chat(user([{"type": "input_audio", "input_audio": {}}])), 3 + 3 + 1 + PICTURE, id="a sound"),
        pytest.param(chat(user("1234"), tools=[{"a": "b"}]), 3 + 3 + 5, id="tools as their JSON"),
        pytest.param(chat({**user(None), "tool_calls": [{"a": "b"}]}), 3 + 3 + 4, id="calls as their JSON"),
        pytest.param({"prompt": ["1234", "1234"]}, 2, id="two prompts"),
        pytest.param({"prompt": [1, 2, 3]}, 3, id="a prompt of tokens"),
        pytest.param({"input": [[1, 2], [3]]}, 3, id="inputs of tokens"),
        pytest.param({"input": "12345"}, 2, id="a part of a token counts whole"),
        pytest.param(chat("not an object", user([7])), 3 + 3 + 1, id="what makes no sense counts nothing"),  # type: ignore[arg-type]
        pytest.param({}, 0, id="nothing"),
    ],
)
def test_what_a_request_counts(by_bytes: TokenEstimator, body: dict[str, Any], prompt: int) -> None:
    assert by_bytes.estimate(body, "").prompt == prompt


@with_table
def test_a_huge_text_is_sampled_and_close(exact: TokenEstimator) -> None:
    line = "Order 4711 of 3 kettles arrived late, and the customer asks for a refund of 59.90 EUR.\n"
    small = exact.estimate({"prompt": line * 20}, "")
    usage = exact.estimate({"prompt": line * 20_000}, line * 2_000)
    assert usage.method == "tiktoken:o200k_base/sampled"
    assert usage.prompt == pytest.approx(1000 * small.prompt, rel=0.03)
    assert usage.completion == pytest.approx(100 * small.prompt, rel=0.03)


@with_table
@pytest.mark.parametrize("character", ["a", " ", "\n", "!", "的", "👩"])
def test_monotony_does_not_break_it(exact: TokenEstimator, character: str) -> None:
    usage = exact.estimate({"prompt": character * EXACT_CHARACTERS}, character * 5_000_000)
    assert 0 < usage.prompt <= 4 * EXACT_CHARACTERS
    assert usage.completion > usage.prompt


@with_table
@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200))
def test_text_counts_as_much_wherever_it_stands(exact: TokenEstimator, text: str) -> None:
    everywhere = [
        exact.estimate({"prompt": text}, "").prompt,
        exact.estimate({"input": [text]}, "").prompt,
        exact.estimate({}, text).completion,
        exact.estimate(chat({"content": text}), "").prompt - 6,
        exact.estimate(chat({"content": [{"type": "text", "text": text}]}), "").prompt - 6,
    ]
    assert len(set(everywhere)) == 1


@with_table
def test_it_counts_as_tiktoken_does() -> None:
    """The same table through tiktoken's own loader, in a process of its own: that loader keeps global state."""
    program = """
import os, random, sys
from router.estimates import TokenEstimator, table_folders
os.environ["TIKTOKEN_CACHE_DIR"] = str(table_folders()[-1])
ours = TokenEstimator(); assert ours.load()
import tiktoken
theirs = tiktoken.get_encoding("o200k_base")
dice = random.Random(7)
for text in ("don't we'll it's he'd I'm you're", "THEY'VE CAN'T", "O'Neill's 1234567 km/h\\r\\n  \\n end "):
    assert ours.estimate({}, text).completion == len(theirs.encode_ordinary(text)), text
alphabet = "abcXYZÄéßжЯ的日本👩\\u0301 \\t\\n\\r'sReLL0123456789.,;/-_(){}\\"@#\\u00a0\\u200d"
for _ in range(3000):
    text = "".join(dice.choices(alphabet, k=dice.randint(0, 60)))
    assert ours.estimate({}, text).completion == len(theirs.encode_ordinary(text)), repr(text)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


@with_table
def test_the_first_estimate_waits_for_nothing_and_loads_without_network_or_litellm() -> None:
    program = """
import socket, sys, threading
def refuse(*_): raise AssertionError("network")
socket.socket.connect = socket.getaddrinfo = refuse
from router.estimates import TokenEstimator
estimator = TokenEstimator()
assert "tiktoken" not in sys.modules
first = estimator.estimate({"prompt": "hello"}, "hello")
assert first.method in ("bytes/4", "tiktoken:o200k_base")
for thread in threading.enumerate():
    if thread.name == "token table": thread.join()
assert estimator.estimate({"prompt": "hello"}, "hello").method == "tiktoken:o200k_base"
assert "litellm" not in sys.modules
assert "requests" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_a_table_that_was_tampered_with_is_left_unused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790"
    table.write_bytes(b"YQ== 0\n")
    assert TokenEstimator([tmp_path]).load() is False
    assert table.exists()
    assert "left unused" in caplog.text


def test_tiktokens_own_folder_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert table_folders()[0] == tmp_path
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR")
    assert tmp_path not in table_folders()
