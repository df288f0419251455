"""Where dspy meets the prompt book: what it asks of the task goes out as the server would send it.

The task's `format` is the book's renderer, and its `parse` gives back the whole reply.

The non-obvious decision: what `format` made never passes through dspy's own model layer. That layer turns messages
into its typed requests and back, joins or renames roles and parts on the way, and what it sends would no longer be
byte for byte what the book rendered. So the adapter asks the search's line itself.
"""

from __future__ import annotations

from typing import Any

import dspy
from dspy.adapters import ChatAdapter
from dspy.utils.exceptions import AdapterParseError

from prompts.optimise.feedback import Trials, escaping
from prompts.optimise.ports import CallFailed, Search
from prompts.optimise.program import Conversation, is_task, prompt_in
from prompts.optimise.proposing import standing_notes


class BookAdapter(ChatAdapter):  # type: ignore[misc]
    """Answers conversations by prompts of the book; whatever else dspy asks is asked in dspy's own form.

    Those that write instructions in that form are told what of the search's prompt stays as it is.
    """

    def __init__(self, search: Search, trials: Trials) -> None:
        super().__init__()
        self._search = search
        self._line = search.line
        self._trials = trials
        self._base = search.prompt

    def format(self, signature: Any, demos: list[dict[str, Any]], inputs: dict[str, Any]) -> list[dict[str, Any]]:
        """Messages: for a conversation those that the server sends under the prompt that dspy is trying."""
        asked = inputs.get("conversation")
        if isinstance(asked, Conversation):
            prompt = prompt_in(signature.instructions, demos, self._base)
            return self._search.messages(prompt, asked.case)
        messages: list[dict[str, Any]] = super().format(signature, demos, inputs)
        return messages

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """The whole of a reply to a conversation: customers read it so, and so it is scored."""
        if is_task(signature):
            return {"reply": completion}
        told: dict[str, Any] = super().parse(signature, completion)
        return told

    def __call__(
        self,
        lm: dspy.LM,
        lm_kwargs: dict[str, Any],
        signature: Any,
        demos: list[dict[str, Any]],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        usual = {**lm.kwargs, **lm_kwargs}
        temperature = usual.get("temperature")
        asked = inputs.get("conversation")
        if isinstance(asked, Conversation):
            prompt = prompt_in(signature.instructions, demos, self._base)
            messages = self.format(signature, demos, inputs)
            reply = self._trials.reply(prompt, asked.case, messages, temperature, usual.get("rollout_id"))
            return [self.parse(signature, reply)]
        if notes := standing_notes(self._base):
            signature = signature.with_instructions(f"{signature.instructions}\n\n{notes}")
        fields = signature.output_fields
        if len(fields) > 1 or any(field.annotation is not str for field in fields.values()):
            answers: list[dict[str, Any]] = super().__call__(lm, lm_kwargs, signature, demos, inputs)
            return answers
        try:
            return [self._told(signature, self.format(signature, demos, inputs), temperature)]
        except CallFailed:  # would end the whole search for want of one text; an empty one changes nothing
            return [dict.fromkeys(fields, "")]

    def _told(self, signature: Any, messages: list[dict[str, Any]], temperature: float | None) -> dict[str, Any]:
        """One text: a model that writes it without dspy's markers is not asked again, but quoted."""
        with escaping():
            said = self._line.model(messages, temperature)
        try:
            told: dict[str, Any] = self.parse(signature, said)
        except AdapterParseError:
            told = dict.fromkeys(signature.output_fields, said.strip())
        return told
