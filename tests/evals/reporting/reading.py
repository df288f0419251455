"""A page taken apart, as a browser does it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any


class Read(HTMLParser):
    """`tags` that were opened, `text` that is shown, and what is between the tags of each script and style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self._inside = ""
        self._texts: list[str] = []
        self.feed(page)
        self.close()

    @property
    def text(self) -> str:
        return " ".join("".join(self._texts).split())

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw["script"][0])
        return found

    @property
    def policy(self) -> str:
        return next(value for name, value in self.attributes if name == "content" and "default-src" in value)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._inside = tag if tag in self.raw else ""
        if tag in ("td", "th", "p", "li", "dt", "dd", "h1", "h2", "h3"):
            self._texts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        (self.raw[self._inside] if self._inside else self._texts).append(data)


def fetched(page: str) -> list[str]:
    """What a browser would load for `page`, were it allowed to."""
    return re.findall(r"""(?:src|href|action)\s*=\s*["']?(https?:|//)[^"'>]*""", page)
