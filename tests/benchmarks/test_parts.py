"""The parts of a request's way are really gone through: what is timed answers, hits and streams."""

from __future__ import annotations

from benchmarks.parts import app, pipeline
from tests.router.web.wire import Wire


def test_the_pipeline_is_timed_for_misses_hits_and_both_kinds_of_streams() -> None:
    passed, hit, token = pipeline(requests=20, tokens=20)
    assert min(passed.us, hit.us, token.us) > 0
    assert (hit.yardstick, hit.beside) == ("pass-through", passed.us)
    assert token.beside is not None
    assert token.beside > 0


async def test_the_application_that_servers_are_compared_with_answers() -> None:
    wire = await Wire(b"{}").through(app)
    assert (wire.status, wire.json["object"]) == (200, "chat.completion")
