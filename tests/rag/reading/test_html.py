"""HTML: what a reader of the page sees, in the form of Markdown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.reading.html import read_html
from rag.reading.text import Unreadable

PAGE = """<!doctype html><html><head><title> Returns &amp; refunds</title><style>p{}</style></head><body>
<nav>menu</nav><div role="navigation">trail</div><h1>Returns</h1>
<p>You may <b>re</b>turn it
  within <i>30</i> days.<br>Really.</p><!-- comment -->and a tail
<ul><li>One<ul><li>inner</li></ul></li><li><p>Two</p><p>more</p></li></ul><ol><li>a</li><li>b</li></ol>
<table><caption>Prices</caption><tr><th>Size</th><th>Price</th></tr>
<tr><td>S <p>small</p></td><td>1|2<table><tr><td>inside</td></tr></table></td></tr></table>
<pre>def f():
    return 1
</pre><div hidden>no1</div><p style="Display : none">no2</p><p aria-hidden="true">no3</p><script>no4()</script>
<img alt="A diagram" src="x.png"><template>no5</template>after</body></html>"""
ELEMENTS = ("ul", "ol", "li", "table", "tr", "td", "pre", "h1", "p", "br", "!--")
TAGS = [f"<{end}{tag}>" for tag in ELEMENTS for end in ("", "/")] + ["a "]
SEEN = """# Returns

You may return it within 30 days.
Really.

and a tail

- One
  - inner
- Two
  more
1. a
2. b

Prices

| Size | Price |
| --- | --- |
| S small | 1\\|2 inside |

```
def f():
    return 1
```

A diagram after
"""


def test_a_page_is_what_is_seen_of_it() -> None:
    file = read_html(PAGE.encode())
    assert file.text == SEEN
    assert (file.kind, file.title, file.notes) == ("markdown", "Returns & refunds", ())


def test_the_first_heading_is_the_title_of_a_page_without_one() -> None:
    assert read_html(b"<h2>Fees <i>now</i></h2><h2>Later</h2>").title == "Fees now"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<p>Größe</p>".encode(), "Größe\n"),
        ('<meta charset="latin-1"><p>Größe</p>'.encode("latin-1"), "Größe\n"),
        ('<meta http-equiv=Content-Type content="text/html; charset=cp1252"><p>5 €</p>'.encode("cp1252"), "5 €\n"),
        ('<?xml version="1.0" encoding="utf-8"?><html><body><p>Größe</p></body></html>'.encode(), "Größe\n"),
        ('<meta charset="utf-8"><p>Größe</p>'.encode("utf-16"), "Größe\n"),
        (b'<meta charset="no-such"><p>Gr\xf6\xdfe</p>', "Größe\n"),
    ],
)
def test_characters_go_by_what_the_page_declares_unless_it_is_utf_8(content: bytes, text: str) -> None:
    assert read_html(content).text == text


def test_a_page_without_text_is_noted() -> None:
    for content in (b"", b"<script>1</script>", b"<!-- only -->"):
        file = read_html(content)
        assert (file.text, file.notes) == ("", ("It holds no text.",))


def test_a_page_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(Unreadable, match="nested") as refused:
        read_html(b"<p>before</p>" + b"<div>" * 200_000 + b"deep")
    assert refused.value.code == "invalid_file"


def test_entities_of_a_page_are_not_followed() -> None:
    page = b'<!DOCTYPE html [<!ENTITY secret SYSTEM "file:///etc/hostname">]><p>a &secret; b</p>'
    assert "secret" in read_html(page).text


@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]))
    | st.text("<>/ultabrpewordsdhi!-&; ")
    | st.lists(st.sampled_from(TAGS)).map("".join)
)
def test_any_soup_is_read(soup: str) -> None:
    text = read_html(soup.encode("utf-8", "replace")).text
    assert "\0" not in text
    assert not text or text.strip()
