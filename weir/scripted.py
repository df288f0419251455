"""`weir scripted`: the scripted upstream as a server of its own."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from router.upstreams.scripted_knowledge import Knowledge
from router.upstreams.scripted_server import ScriptedServer


@click.command(
    epilog="""\b
Examples:
  weir scripted --port 8081
  weir scripted --knowledge examples/support/knowledge.jsonl --token sk-anything

\b
The model's name chooses what it does; see docs/reference/scripted.md."""
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free one.")
@click.option(
    "--knowledge",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSONL of {questions: [...], answer: ...} to answer from.",
)
@click.option("--token", help="The key that callers must send. Left out, anyone may call.")
def scripted(host: str, port: int, knowledge: Path | None, token: str | None) -> None:
    """Start the scripted stand-in and print its base URL."""
    try:
        known = Knowledge.load(knowledge) if knowledge is not None else Knowledge(())
        asyncio.run(_serve(ScriptedServer(known, host=host, port=port, token=token)))
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error


async def _serve(server: ScriptedServer) -> None:
    stopped = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stopped.set)
    await server.start()
    click.echo(server.base_url)
    try:
        await stopped.wait()
    finally:
        await server.close()
