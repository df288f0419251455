"""The model that reflects, as dspy asks it: over the search's line, so that its price counts too."""

from __future__ import annotations

from typing import Any

import dspy
from dspy.lm15 import Message, Request, Response, Usage
from dspy.lm15 import ServerError as Unanswered

from prompts.optimise.feedback import escaping
from prompts.optimise.ports import CallFailed, Line


class LineEngine:
    """An engine of dspy: a request in, a response out, nothing kept. Raises Escape where the calls have ended."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def complete(self, request: Request) -> Response:
        try:
            with escaping():
                text = self._line.model(_messages(request), request.config.temperature)
        except CallFailed as failure:
            raise Unanswered(str(failure)) from failure
        return Response(
            id=None,
            model=request.model,
            message=Message.assistant(text or " "),  # dspy knows no message without a text
            finish_reason="stop",
            usage=Usage(input_tokens=0, output_tokens=0, total_tokens=0),
        )


def reflecting(line: Line) -> dspy.LM:
    """The line's model. dspy neither repeats its calls, which the line does, nor keeps its answers."""
    return dspy.LM("weir/reflection", engine=LineEngine(line), cache=False, num_retries=0)


def _messages(request: Request) -> list[dict[str, Any]]:
    system = request.system if isinstance(request.system, str) else "".join(p.text for p in request.system or ())
    turns = [{"role": message.role, "content": message.text or ""} for message in request.messages]
    return [{"role": "system", "content": system}, *turns] if system else turns
