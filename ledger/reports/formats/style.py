"""The style sheet of self-contained pages, in light and dark, on screens and on paper.

What stands for data has the colours --c0 to --c7; `COLOURS` in svg.py counts them.
"""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5c6570; --line: #d8dde3; --paper: #fff; --card: #f5f7f9;
  --c0: #1f6fb2; --c1: #c8691c; --c2: #2f8f5b; --c3: #a4489c; --c4: #8a7a12; --c5: #b03a48; --c6: #2b8c9e;
  --c7: #6b6f76; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --soft: #9aa4af; --line: #363d45; --paper: #14171a; --card: #1e2327;
    --c0: #6cb2ec; --c1: #f0a05c; --c2: #6fcf9c; --c3: #d993d2; --c4: #d2c25a; --c5: #ec8490; --c6: #6fcadb;
    --c7: #a9aeb5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 3rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.span { color: var(--soft); margin: .25rem 0 1.5rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: .75rem; margin: 0; }
.facts div { background: var(--card); border-radius: .5rem; padding: .75rem 1rem; }
.facts dt { color: var(--soft); } .facts dd { margin: 0; }
.facts .value { font-size: 1.35rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.facts .note { color: var(--soft); font-size: .85rem; }
.scroll { overflow-x: auto; } .scroll:focus-visible { outline: 2px solid var(--c0); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
.text { text-align: left; } .long { white-space: normal; overflow-wrap: anywhere; min-width: 16rem; }
tfoot td { font-weight: 600; border-bottom: 0; }
figure { margin: 1rem 0; overflow-x: auto; }
svg { display: block; width: 100%; height: auto; min-width: 34rem; max-width: 60rem; }
svg text { fill: var(--soft); font-size: 12px; } .grid { stroke: var(--line); } .axis { stroke: var(--soft); }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: 0; margin: .25rem 0; }
.legend span { display: inline-block; width: .75rem; height: .75rem; border-radius: 2px; margin-right: .4rem; }
.notes { color: var(--soft); } li { margin: .2rem 0; }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --card: #f2f2f2;
    --c0: #1f6fb2; --c1: #c8691c; --c2: #2f8f5b; --c3: #a4489c; --c4: #8a7a12; --c5: #b03a48; --c6: #2b8c9e;
    --c7: #6b6f76; }
  body { padding: 0; max-width: none; font-size: 10pt; } .scroll, figure { overflow: visible; }
  thead { display: table-header-group; } tr, figure, .facts div { break-inside: avoid; }
  svg, .legend span, .facts div { print-color-adjust: exact; } }
"""
LANDSCAPE = """
@page { size: A4 landscape; margin: 10mm; }
@media print { table { font-size: 7pt; } th, td { padding: .2rem .35rem .2rem 0; } .long { min-width: 8rem; } }
"""
"""Added where a table is too broad for a sheet in portrait."""
