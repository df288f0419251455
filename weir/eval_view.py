"""`weir eval view`: look at runs in a browser."""

from __future__ import annotations

import ipaddress
import signal
import webbrowser
from pathlib import Path

import click


@click.command(
    epilog="""\b
Examples:
  weir eval view
  weir eval view runs --open
  weir eval view runs/large --port 0"""
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path("runs"))
@click.option("--port", type=click.IntRange(0, 65535), default=8090, show_default=True, help="0 takes any.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--open", "open_it", is_flag=True, help="Open the list in a browser.")
def view(folder: Path, port: int, host: str, open_it: bool) -> None:
    """Look at the runs in FOLDER: each by itself, and any two compared.

    Pages are made from the files whenever they are asked for, so a run can be watched while it goes on. Nothing is
    asked for a password: whoever reaches the address can read the runs. Ctrl-C ends it.
    """
    from evals.reporting.viewer import Pages, Viewer

    try:
        viewer = Viewer(Pages(folder), host, port)
    except OSError as error:
        raise click.ClickException(
            f"{host}:{port} cannot be listened on: {error.strerror or error}. Choose another --port."
        ) from error
    if not _loopback(host):
        click.echo(f"Whoever reaches {host} can read these runs.", err=True)
    with viewer:
        click.echo(f"{viewer.url} shows the runs in {folder}. Ctrl-C ends it.")
        if open_it:
            webbrowser.open(viewer.url)
        # A shell that starts it in the background has it ignore Ctrl-C, and so also who sends it that signal later.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            viewer.serve_forever()
        except KeyboardInterrupt:
            click.echo()


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
