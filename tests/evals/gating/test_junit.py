"""JUnit as other tools read it, whatever names the data brings."""

from __future__ import annotations

from xml.etree.ElementTree import fromstring

from evals.gating.junit import to_junit
from tests.evals.gating.made import refused


def test_each_check_is_a_test_case_and_a_failed_one_says_why() -> None:
    verdict = refused()
    root = fromstring(to_junit(verdict))
    (suite,) = root
    assert (root.tag, suite.tag, suite.get("tests"), suite.get("failures")) == ("testsuites", "testsuite", "2", "1")
    cases = suite.findall("testcase")
    assert [case.get("classname") for case in cases] == ["desk", "desk"]
    assert [case.find("failure") is not None for case in cases] == [True, False]
    failure = cases[0].find("failure")
    assert failure is not None
    assert failure.get("message") == verdict.checks[0].told
    assert "at least 50.0%" in (failure.text or "")
    assert "90.0%" in (cases[1].findtext("system-out") or "")


def test_what_xml_cannot_hold_is_replaced() -> None:
    page = to_junit(refused())
    assert b"\x00" not in page
    name = fromstring(page).findall(".//testcase")[0].get("name") or ""
    assert name.startswith("segments.floor: <b>a|b</b>`�")
