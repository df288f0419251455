"""`weir serve`: start the proxy and say how to reach it."""

from __future__ import annotations

import logging
import sys
from hashlib import sha256
from pathlib import Path

import click

from router.config.load import USUAL_FILE, ConfigError, Loaded, load
from weir.state import state_dir

_DEMO = "sk-weir-demo-"
_LOG_LINE = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_LOG_LINE_OF_SEVERAL = "%(asctime)s %(levelname)-7s %(processName)s, %(name)s: %(message)s"


@click.command(
    epilog="""\b
Examples:
  weir serve --config examples/support/weir.yaml
  weir serve --config weir.yaml --host 0.0.0.0 --port 80 --workers 4

\b
State (ledger, spool, admin key) is kept in $WEIR_STATE_DIR, by default .weir/.
A changed configuration is taken up by itself, or at once on SIGHUP."""
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=USUAL_FILE,
    show_default=True,
    help="The configuration; see docs/reference/config.md.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free one.")
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Processes that serve; see docs/guides/workers.md.",
)
@click.option(
    "--log-level", default="info", show_default=True, type=click.Choice(["debug", "info", "warning", "error"])
)
def serve(config: Path, host: str, port: int, workers: int, log_level: str) -> None:
    """Start the proxy."""
    logging.basicConfig(stream=sys.stderr, format=_LOG_LINE if workers == 1 else _LOG_LINE_OF_SEVERAL)
    logging.getLogger("weir").setLevel(log_level.upper())
    try:
        loaded = load(config)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    from router.main import START_FAILURES  # late, so that a wrong configuration is reported at once
    from router.running import run
    from router.server import is_loopback

    demo_key = _demo_key(loaded) if is_loopback(host) else None  # elsewhere it would be refused

    def say_hello(url: str) -> None:
        _say_hello(url, loaded, demo_key)

    try:
        run(loaded, config, host=host, port=port, state=state_dir(), listening=say_hello, workers=workers)
    except START_FAILURES as error:
        raise click.ClickException(str(error)) from error


def _say_hello(url: str, loaded: Loaded, key: str | None) -> None:
    names = [*loaded.config.routes, *loaded.config.models]
    route = names[0] if names and "auto" not in names else "auto"
    click.echo(f"\nWeir is up.  Base URL  {url}/v1")
    if key is None:
        click.echo("             Make a key with: weir keys create --tenant NAME --config FILE\n")
        return
    body = f'{{"model": "{route}", "messages": [{{"role": "user", "content": "How do I reset my password?"}}]}}'
    click.echo(f"             Key       {key}\n\nTry it:\n")
    click.echo(
        f"curl -s {url}/v1/chat/completions -H 'Authorization: Bearer {key}' "
        f"-H 'Content-Type: application/json' -d '{body}'\n"
    )


def _demo_key(loaded: Loaded) -> str | None:
    """The public key of the first tenant that declares it, since only its hash is in the file."""
    for name, tenant in loaded.config.tenants.items():
        key = _DEMO + name
        if any(declared.hash == f"sha256:{sha256(key.encode()).hexdigest()}" for declared in tenant.keys.values()):
            return key
    return None
