"""A page that stands for itself: one file, whose policy forbids it to fetch anything or to send anything anywhere.

The non-obvious decision: its style and script are allowed by their hashes and not in general, so that a text which
slipped through unescaped could still not run.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from evals.reporting.figures import safe
from ledger.reports.formats.style import LANDSCAPE, STYLE

DATA_ID = "data"
"""Where the script finds what it is about."""


def document(title: str, parts: Sequence[str], *, data: Any = None, form: bool = False) -> str:
    """A whole document in UTF-8. `data` is JSON for the script; `form`: it may send one to where it is from."""
    style, script = _part("page.css", STYLE + LANDSCAPE), _part("script.js")
    action = "'self'" if form else "'none'"
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hashed(style)}'; script-src '{_hashed(script)}'; "
        f"base-uri 'none'; form-action {action}"
    )
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><link rel="icon" href="data:,">'
        f"<title>{safe(title)}</title><style>{style}</style></head>\n"
        f"<body><main>\n{body}\n</main>\n{_data(data)}<script>{script}</script></body></html>\n"
    )


def embedded(value: Any) -> str:
    """`value` as JSON that may stand in a script element: nothing in it can end that, or begin a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").encode("utf-8", "replace").decode()


def _data(data: Any) -> str:
    if data is None:
        return ""
    return f'<script type="application/json" id="{DATA_ID}">{embedded(data)}</script>\n'


@cache
def _part(name: str, before: str = "") -> str:
    return before + (Path(__file__).parent / name).read_text(encoding="utf-8")


@cache
def _hashed(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
