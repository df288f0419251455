"""A small Weir whose prompts are listed, promoted and rolled back: its files, registry and command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from prompts.evidence import Change, ServedBy, Share, written
from prompts.prompt import BookedPrompt
from prompts.reading import read_prompt
from registry.prompts import PROMPT, put
from registry.store import Registry
from tests.prompts.plain_evidence import plain_evidence
from weir.prompts import prompts

CONFIG = """
upstreams: {stand-in: {kind: scripted}}
models: {large: {upstream: stand-in, price: {input: 1, output: 1}}}
prompts:
  support: {file: support.md}
  tickets: {file: tickets.yaml, slots: {company: Tolvana}, canary_share: 0.1}
routes:
  support: {candidates: [large], prompt: support}
  tickets: {candidates: [large], prompt: tickets}
tenants: {acme: {}, globex: {prompts: {support: tickets}}}
"""
SUPPORT = "You help the customers of Tolvana. Be brief. Never promise a refund.\n"
BETTER = "You help the customers of Tolvana. Be kind and brief. Never promise a refund, and name the page.\n"
TICKETS = """
sections:
- name: role
  text: You write tickets for {{ company }}.
- name: rules
  text: Never name a customer.
  locked: true
slots: {company: a shop}
demonstrations:
- user: My brewer leaks.
  assistant: Leaking brewer.
contract: {text: One line., most_words: 12}
"""
QUALITY = Change(before=0.6, after=0.8, change=0.2, low=0.1, high=0.3, verdict="better")
UNTOLD = Change(before=0.0, after=1.0, change=1.0, low=-1.0, high=1.0, verdict="not enough cases (90 more needed)")
MEASURED: Mapping[str, Any] = {
    "quality": QUALITY,
    "cost": Change(before=0.002, after=0.001, change=0.5, low=0.4, high=0.6, verdict="better"),
    "segments": (
        Share(segment="refunds", cases=12, quality=QUALITY),
        Share(segment="odd", cases=1, quality=UNTOLD),
    ),
    "spent": Decimal("1.25"),
    "breaks_even": 1250,
    "models": (ServedBy(model="large", upstream="stand-in", name="large"),),
}


class Desk:
    """In `folder`, which becomes the working folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("WEIR_STATE_DIR", "state")
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.delenv("FORCE_COLOR", raising=False)
        for name, text in {"weir.yaml": CONFIG, "support.md": SUPPORT, "tickets.yaml": TICKETS}.items():
            (folder / name).write_text(text)
        self.registry = Registry(Path("state/registry"))

    @property
    def file(self) -> str:
        """The version of support.md as it is."""
        return read_prompt(Path("support.md"), "prepend").version

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(prompts, arguments)

    def told(self, *arguments: str) -> Any:
        """What it says with --json, if it went well."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def listed(self, name: str = "support") -> dict[str, Any]:
        return next(row for row in self.told("list")["prompts"] if row["prompt"] == name)

    def stored(self, text: str = BETTER, name: str = "support") -> str:
        return put(self.registry, name, BookedPrompt.plain(text, "prepend").content, "jane")

    def judged(self, version: str, *, passed: bool = True, **changes: Any) -> None:
        """A verdict with an optimiser's evidence, beside support.md as it is."""
        found = written(plain_evidence(version, before=self.file, **MEASURED, **changes))
        reason = "better on 40 cases" if passed else "not enough cases"
        self.registry.verdict(
            PROMPT, "support", version, passed=passed, by="optimiser", reason=reason, evidence=found
        )
