"""Whom `weir eval` asks: the options that its verbs share, as a `TargetSpec`."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from evals.targets.spec import DEFAULT_BASE_URL, DEFAULT_TIMEOUT_S, TargetSpec, is_openai

_OPTIONS = (
    click.option(
        "--base-url",
        metavar="URL",
        help=f"Any OpenAI-compatible address. [default: $WEIR_BASE_URL, else {DEFAULT_BASE_URL}]",
    ),
    click.option(
        "--api-key",
        metavar="KEY",
        help="Its key. Better in $WEIR_API_KEY, where no list of processes shows it; for api.openai.com "
        "$OPENAI_API_KEY.",
    ),
    click.option(
        "--config",
        type=click.Path(path_type=Path),
        help="Ask a Weir made of this configuration in this process, not an address.",
    ),
    click.option("--tenant", default="", help="With --config: who asks. [default: its first tenant]"),
    click.option(
        "--prompt",
        "prompts",
        multiple=True,
        metavar="NAME=FILE[:RULE]|NAME@VERSION",
        help="With --config: another file for one of its prompts, merged by RULE or as it is there; or one of its "
        "stored versions, or an alias such as canary.",
    ),
    click.option(
        "--price",
        default="",
        metavar="PRICE",
        help="Of the target, where it does not say what answers cost: input=0.5,output=1.5 in dollars per million "
        "tokens, or the name of a model in the price list. [default: the list's for its own name]",
    ),
    click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0, min_open=True),
        default=DEFAULT_TIMEOUT_S,
        show_default=True,
        help="Seconds for one answer.",
    ),
)


def target_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Gives `verb` the options, and calls it with the keyword `where`, a TargetSpec that names no target yet."""

    @wraps(verb)
    def with_target(
        *args: Any,
        base_url: str | None,
        api_key: str | None,
        config: Path | None,
        tenant: str,
        prompts: tuple[str, ...],
        price: str,
        timeout_s: float,
        **others: Any,
    ) -> Any:
        from weir.state import state_dir

        if config is not None and (base_url or api_key or price):
            raise click.UsageError("--config asks a Weir in this process: no --base-url, --api-key or --price.")
        if config is None and (tenant or prompts):
            raise click.UsageError("--tenant and --prompt need --config: a server has its own.")
        address = base_url or os.environ.get("WEIR_BASE_URL", "").strip() or DEFAULT_BASE_URL
        where = TargetSpec(
            base_url=address,
            api_key=api_key or _key_for(address),
            config=config,
            tenant=tenant,
            prompts=prompts,
            price=price,
            timeout_s=timeout_s,
            state=state_dir(),
        )
        return verb(*args, where=where, **others)

    for option in reversed(_OPTIONS):
        with_target = option(with_target)
    return with_target


def _key_for(address: str) -> str:
    """Of the environment. OpenAI is not shown a Weir's key where it has one of its own."""
    names = ("OPENAI_API_KEY", "WEIR_API_KEY") if is_openai(address) else ("WEIR_API_KEY",)
    return next((key for name in names if (key := os.environ.get(name, "").strip())), "")
