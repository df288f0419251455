"""A verdict as JUnit XML, which GitHub, GitLab and Jenkins show: one test case for each check."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from evals.gating.verdict import Verdict

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""XML 1.0, section 2.2. Segments are named by data, and a parser refuses a page that holds one of these."""


def to_junit(verdict: Verdict) -> bytes:
    """UTF-8, with its declaration. A check's class name is the suite's name."""
    counts = {
        "tests": str(len(verdict.checks)),
        "failures": str(len(verdict.failed)),
        "errors": "0",
        "skipped": "0",
    }
    root = Element("testsuites", {"name": "weir eval gate", **counts, "time": "0"})
    suite = SubElement(root, "testsuite", {"name": _plain(f"gate of {verdict.suite}"), **counts, "time": "0"})
    facts = {"run": verdict.run, "target": verdict.target, "baseline": verdict.baseline}
    properties = SubElement(suite, "properties")
    for name, value in {**facts, "suite_version": verdict.suite_version, "config": verdict.config_hash}.items():
        SubElement(properties, "property", {"name": name, "value": _plain(value)})
    for check in verdict.checks:
        names = {"classname": _plain(verdict.suite), "name": _plain(check.name), "time": "0"}
        case = SubElement(suite, "testcase", names)
        told = _plain(check.told)
        if check.passed:
            SubElement(case, "system-out").text = told
        else:
            failure = SubElement(case, "failure", {"message": told, "type": _plain(check.rule)})
            failure.text = f"{told}\n{check.figure}, {check.limit}"
    indent(root)
    page: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return page + b"\n"


def _plain(text: str) -> str:
    return _NOT_IN_XML.sub("�", text)
