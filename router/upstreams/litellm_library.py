"""Providers that do not speak OpenAI's protocol, reached through the litellm library (never its proxy).

litellm takes seconds to import and is imported only by `start`. Its arguments include addresses and credentials,
so a client's fields are never handed to it wholesale: those in `_FIELDS` are its arguments, the rest go into the
body that it sends, where the provider takes OpenAI's body at all, and are rejected where it does not. `metadata`
stays here: it is Weir's. Retries, prices and logs are Weir's own, and litellm's are off.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence, Set
from typing import Any, ClassVar
from urllib.parse import urlsplit

import orjson

from contracts.errors import (
    ConnectionRefused,
    MalformedAnswer,
    SlowUpstream,
    StreamCut,
    StreamStalled,
    UpstreamFailure,
    UpstreamRejected,
)
from contracts.ports import UpstreamCall, WholeAnswer
from contracts.records import Endpoint
from contracts.sse import DONE, event
from router.upstreams.failures import of_answer, of_exception, redacted
from router.upstreams.http1 import NotConnected, NotHTTP, NotSecure

# fmt: off
_SAMPLING = {
    "frequency_penalty", "logit_bias", "logprobs", "max_tokens", "n", "presence_penalty", "seed", "stop",
    "stream", "stream_options", "temperature", "top_p", "user",
}
_FIELDS: Mapping[Endpoint, Set[str]] = {
    "chat/completions": _SAMPLING | {
        "audio", "function_call", "functions", "max_completion_tokens", "messages", "modalities",
        "parallel_tool_calls", "prediction", "prompt_cache_key", "reasoning_effort", "response_format",
        "safety_identifier", "service_tier", "store", "thinking", "tool_choice", "tools", "top_k",
        "top_logprobs", "verbosity", "web_search_options",
    },
    "completions": _SAMPLING | {"best_of", "echo", "prompt", "suffix"},
    "embeddings": {"dimensions", "encoding_format", "input", "user"},
}
# fmt: on
_KEPT_HERE = frozenset({"model", "metadata"})
_OPENAI_BODIES = frozenset({"openai", "azure", "text-completion-openai"})
"""With those that litellm itself lists as compatible, the providers that it gives further fields."""
_SETTINGS = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches its price list when imported
    "LITELLM_TELEMETRY": "False",
    "LITELLM_MODE": "PRODUCTION",  # else it reads a .env file from the working directory
}
_PROBE_S = 5.0
_LONGEST_S = 600.0
"""litellm's own limit, above any deadline here. Always the same, since litellm keeps connections for each apart."""
_SECRET_NAME = re.compile("key|secret|token|password|credential")
_UNSUPPORTED = re.compile(r"does not support parameters: \[([^\]]*)\]")
_NEVER_AWAITED = r"coroutine '.*\.a\w*completion\w*' was never awaited"


class LiteLLMUpstream:
    """The port `contracts.ports.Upstream` over litellm's `provider` (anthropic, gemini, bedrock, ...).

    Without `api_key` and `base_url`, litellm looks where it usually does; `options` are further arguments for it.
    The answer's `usage` is litellm's, with what the provider says about its cache. A stream that the provider
    ends early but properly looks finished, since litellm makes up the ending.
    """

    _in_use: ClassVar[set[LiteLLMUpstream]] = set()

    def __init__(
        self,
        name: str,
        provider: str,
        api_key: str | None = None,
        base_url: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._provider = provider
        self._base_url = base_url
        self._arguments: dict[str, Any] = {
            **(options or {}),
            "timeout": _LONGEST_S,
            "num_retries": 0,
            "max_retries": 0,
            "drop_params": False,
        }
        if base_url:
            self._arguments["api_base"] = base_url
        self._secrets = [value for name, value in (options or {}).items() if _SECRET_NAME.search(name)]
        if api_key:
            self._arguments["api_key"] = api_key
            self._secrets.append(api_key)
        self._litellm: Any = None
        self._closed = False

    async def start(self) -> None:
        """Import litellm, in a thread. Raises ConnectionRefused where it is not installed."""
        litellm = await asyncio.to_thread(_import)
        if self._closed:
            return
        self._litellm = litellm
        if not self._in_use:
            # Without it litellm makes a client for every text completion, and closes none.
            litellm.aclient_session = litellm.llms.openai.common_utils.BaseOpenAILLM.get_async_http_client()
        self._in_use.add(self)

    async def send(self, call: UpstreamCall) -> WholeAnswer:
        data = _whole(call.endpoint, await self._ask(call))
        return WholeAnswer(body=orjson.dumps(data), data=data)

    async def open(self, call: UpstreamCall) -> LiteLLMStream:
        due = asyncio.get_running_loop().time() + call.first_byte_s
        chunks = await self._ask(call)
        return LiteLLMStream(chunks, first_event_due=due, stall_s=call.stall_s, secrets=self._secrets)

    async def probe(self) -> None:
        """Connect to `base_url`. A provider at its default address is taken to be there: asking costs tokens."""
        self._started()
        if self._base_url is None:
            return
        address = urlsplit(self._base_url)
        port = address.port or (80 if address.scheme == "http" else 443)
        try:
            async with asyncio.timeout(_PROBE_S):
                _, writer = await asyncio.open_connection(address.hostname, port)
        except TimeoutError as error:
            raise SlowUpstream("The model's server did not answer in time.") from error
        except OSError as error:
            raise ConnectionRefused("The model's server could not be reached.", detail=str(error)) from error
        writer.close()

    async def close(self) -> None:
        """The last one out closes litellm's connections, which all of them share."""
        self._closed = True
        litellm, self._litellm = self._litellm, None
        self._in_use.discard(self)
        if litellm is not None and not self._in_use:
            await litellm.close_litellm_async_clients()
            litellm.in_memory_llm_clients_cache.flush_cache()
            await litellm.aclient_session.aclose()
            litellm.aclient_session = None
            shared = vars(litellm).pop("module_level_aclient", None)  # made anew when next asked for
            if shared is not None:
                await shared.close()

    def _started(self) -> Any:
        if self._litellm is None:
            raise ConnectionRefused("The model's server is not in use.", detail=f"{self.name} is not started")
        return self._litellm

    async def _ask(self, call: UpstreamCall) -> Any:
        """litellm's answer, or its chunks once the provider has accepted the request."""
        litellm = self._started()
        ask, arguments = self._prepared(call, litellm)
        try:
            async with asyncio.timeout(call.first_byte_s):
                return await ask(**arguments)
        except TimeoutError as error:
            raise SlowUpstream("The model's server did not answer in time.") from error
        except Exception as error:  # litellm lets errors of any class out
            raise _failure(error, litellm, self._secrets) from error

    def _prepared(self, call: UpstreamCall, litellm: Any) -> tuple[Any, dict[str, Any]]:
        """The function of litellm to call, and its arguments."""
        named = _FIELDS[call.endpoint]
        arguments = {name: value for name, value in call.body.items() if name in named}
        extra = {name: value for name, value in call.body.items() if name not in named | _KEPT_HERE}
        if extra:
            if self._provider not in _OPENAI_BODIES and self._provider not in litellm.openai_compatible_providers:
                unknown = next(iter(extra))
                raise UpstreamRejected(f"This model's provider knows no field '{unknown}'.", param=unknown)
            arguments["extra_body"] = extra
        arguments |= self._arguments
        arguments["model"] = f"{self._provider}/{call.body['model']}"
        match call.endpoint:
            case "chat/completions":
                return litellm.acompletion, {**arguments, "_skip_mcp_handler": True}
            case "completions":
                return litellm.atext_completion, arguments
            case "embeddings":
                return litellm.aembedding, arguments


class LiteLLMStream:
    """A streamed answer, one event for each of litellm's chunks."""

    def __init__(
        self, chunks: AsyncIterator[Any], *, first_event_due: float, stall_s: float, secrets: Sequence[str]
    ) -> None:
        self._chunks = chunks
        self._stall_s = stall_s
        self._secrets = secrets
        self._due: float | None = first_event_due
        self._next: asyncio.Future[Any] | None = None
        self._held = b""
        self._answered = False
        self._over = False

    async def read(self) -> bytes:
        while not self._over:
            chunk = await self._chunk()
            if chunk is None:
                self._over = True
                if not self._answered:
                    raise MalformedAnswer("The model's stream held no answer.")
                return event(DONE)
            data = _piece(chunk)
            if data["choices"] or "usage" in data:
                self._held += event(orjson.dumps(data))
            # An ending alone is what litellm makes of a body that it cannot read; with a count it is an answer.
            self._answered = self._answered or "usage" in data or any(map(_says_something, data["choices"]))
            if self._answered and self._held:
                events, self._held = self._held, b""
                return events
        return b""

    async def _chunk(self) -> Any:
        """litellm's next chunk, or None at the end."""
        if self._next is None:
            # A task, because a chunk that is waited for must survive the cancelling of `read`.
            self._next = asyncio.ensure_future(anext(self._chunks, None))
        now = asyncio.get_running_loop().time()
        wait_s = self._stall_s if self._due is None else self._due - now
        done, _ = await asyncio.wait({self._next}, timeout=wait_s)
        if not done:
            raise StreamStalled("The model fell silent in the middle of its answer.")
        task, self._next, self._due = self._next, None, None
        try:
            return task.result()
        except Exception as error:
            self._over = True
            detail = redacted(f"{type(error).__name__}: {error}", self._secrets)[:1000]
            if any(isinstance(cause, ValueError) for cause in _causes(error)):
                raise MalformedAnswer("The model's stream could not be read.", detail=detail) from error
            raise StreamCut("The model's answer was cut off.", detail=detail) from error

    async def close(self) -> None:
        self._over = True
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)
            self._next = None
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()


def _import() -> Any:
    os.environ.update(_SETTINGS)
    try:
        import litellm
    except ModuleNotFoundError as error:
        raise ConnectionRefused(
            "This upstream needs litellm: pip install 'weir[litellm]'.", detail=str(error)
        ) from error
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*`ReadOnly` qualifier", category=UserWarning)
        for late in (litellm.ModelResponse, litellm.ModelResponseStream, litellm.utils.Delta):
            late()  # pydantic builds these classes at first use, which should not be a request
    # litellm prepares a call in a thread; one that is cancelled just then is rightly never awaited.
    warnings.filterwarnings("ignore", message=_NEVER_AWAITED, category=RuntimeWarning)
    litellm.suppress_debug_info = True
    litellm.disable_token_counter = True  # it would pass its own counts off as the provider's
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        # Its log quotes prompts, and whatever it says there it also raises.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm


def _whole(endpoint: Endpoint, answer: Any) -> dict[str, Any]:
    data: dict[str, Any] = answer.model_dump(mode="json", exclude_none=True)
    if not data.get("data" if endpoint == "embeddings" else "choices"):
        raise MalformedAnswer("The model's answer did not have the shape asked for.")
    for choice in data.get("choices", ()):
        if "message" in choice:
            choice["message"].setdefault("content", None)  # OpenAI's clients expect it beside tool calls
    _forget_made_up_usage(data)
    return data


def _piece(chunk: Any) -> dict[str, Any]:
    """The chunk in OpenAI's shape: `finish_reason` always there, and usage in an event without choices."""
    data: dict[str, Any] = chunk.model_dump(mode="json", exclude_none=True)
    choices = data.setdefault("choices", [])
    for choice in choices:
        choice.setdefault("finish_reason", None)
        if data.get("object") == "text_completion":
            choice.setdefault("text", "")
    if not any(_says_something(choice) or choice["finish_reason"] for choice in choices):
        data["choices"] = []
    _forget_made_up_usage(data)
    return data


def _says_something(choice: Mapping[str, Any]) -> bool:
    return bool(choice.get("delta") or choice.get("text"))


def _forget_made_up_usage(data: dict[str, Any]) -> None:
    """litellm reports zeros for a provider that reports nothing; without them Weir makes a marked estimate."""
    if not (data.get("usage") or {}).get("total_tokens"):
        data.pop("usage", None)


def _failure(error: Exception, litellm: Any, secrets: Sequence[str]) -> UpstreamFailure:
    """What `error` amounts to, by what lies beneath it: on the way up, litellm changes and makes up statuses."""
    causes = list(_causes(error))
    for cause in reversed(causes):
        response = getattr(cause, "response", None)
        if response is not None and response.headers:  # litellm's made-up responses have none
            return of_answer(response.status_code, response.headers, _body(response), secrets)
    detail = redacted(f"{type(error).__name__}: {error}", secrets)
    for cause in causes:
        if fault := _fault(cause):
            return of_exception(fault, began=False)
    if isinstance(error, litellm.UnsupportedParamsError):
        match = _UNSUPPORTED.search(str(error))
        fields = re.findall(r"'(\w+)'", match[1]) if match else []
        known = f": {', '.join(fields)}." if fields else " a field of the request."
        return UpstreamRejected(
            f"This model's provider does not support{known}", param=fields[0] if fields else None, detail=detail
        )
    status = getattr(error, "status_code", None)
    if status == 408:
        return SlowUpstream("The model's server did not answer in time.", detail=detail)
    if type(status) is int and status < 500:  # litellm's own refusal; a 5xx of its own is an answer it cannot read
        return of_answer(status, {}, str(error).encode(), secrets)
    return MalformedAnswer("The model's answer could not be read.", detail=detail[:1000])


def _fault(error: BaseException) -> BaseException | None:
    """What `error` says about the connection, in the words of Weir's own client; None where it is about none."""
    import aiohttp  # late: litellm has brought it along, and nobody else on the path of a request needs it
    from aiohttp.http_exceptions import ContentEncodingError

    told = f"{type(error).__name__}: {error}"
    match error:
        case TimeoutError() | aiohttp.ClientConnectorError(os_error=TimeoutError()):
            return TimeoutError(told)
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
            return NotSecure(told)
        case aiohttp.ClientConnectorError() | aiohttp.InvalidURL():
            return NotConnected(told)
        case aiohttp.ClientResponseError():
            return NotHTTP(told)
        case aiohttp.ClientError() | OSError():
            return NotHTTP(told) if isinstance(error.__cause__, ContentEncodingError) else error
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _body(response: Any) -> bytes:
    try:
        return bytes(response.content)
    except RuntimeError:  # httpx: its stream was never read
        return b""
