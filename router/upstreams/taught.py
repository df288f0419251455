"""What of a client's chat a student's engine is shown.

The non-obvious decision: the fields that it is shown are named here, and any other is left out. So what a client
sets draws no lots, bends no probabilities and reaches no setting of the engine, none of which the gate has tried.
"""

from __future__ import annotations

from msgspec.structs import replace

from contracts.ports import UpstreamCall
from contracts.students import INSTRUCTIONS

_HEEDED = frozenset(
    {
        *("model", "messages", "n", "max_tokens", "max_completion_tokens", "stop", "stream", "stream_options"),
        *("logprobs", "top_logprobs", "tools", "tool_choice", "response_format", "structured_outputs"),
        *("guided_json", "guided_choice", "guided_regex", "guided_grammar"),
    }
)
"""Of a student that is named as the model itself, too; vLLM's upstream refuses the last ones with advice."""


def as_taught(call: UpstreamCall) -> UpstreamCall:
    """A chat without instructions, which are in its weights, and for its likeliest words: so it was taught, and so
    it passed its gate. Anything but a chat is left as it is.
    """
    messages = call.body.get("messages")
    if not isinstance(messages, list):
        return call
    shown = [turn for turn in messages if not isinstance(turn, dict) or turn.get("role") not in INSTRUCTIONS]
    heeded = {name: value for name, value in call.body.items() if name in _HEEDED}
    return replace(call, body={**heeded, "messages": shown, "temperature": 0})
