"""How verbs ask a running Weir: over HTTP, with the admin key."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import orjson

from weir.state import read_config, state_dir

_PATIENCE_S = 30.0

base_url_option = click.option(
    "--base-url",
    default="http://127.0.0.1:8080",
    show_default=True,
    help="Where the Weir is, without /v1.",
)


class Asked:
    """The Weir at `base_url`, asked as its admin. Raises click.ClickException with advice for whatever fails."""

    def __init__(self, config: Path, base_url: str) -> None:
        self._url = base_url.rstrip("/").removesuffix("/v1")
        try:
            parts = urlsplit(self._url)
            self._address = (parts.scheme, parts.hostname or "", parts.port)
        except ValueError as error:
            raise click.BadParameter(f"{base_url}: {error}", param_hint="--base-url") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise click.BadParameter("must be such as http://127.0.0.1:8080", param_hint="--base-url")
        self._prefix = parts.path
        self._key, self._key_from = admin_key(config)

    def get(self, path: str) -> Any:
        return self._ask("GET", path)

    def post(self, path: str, body: Any) -> Any:
        return self._ask("POST", path, orjson.dumps(body))

    def delete(self, path: str) -> Any:
        return self._ask("DELETE", path)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        scheme, host, port = self._address
        line = (HTTPSConnection if scheme == "https" else HTTPConnection)(host, port, timeout=_PATIENCE_S)
        try:
            headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
            line.request(method, self._prefix + path, body, headers)
            with line.getresponse() as reply:
                status, body = reply.status, reply.read()
        except (OSError, HTTPException) as error:
            raise click.ClickException(
                f"No Weir answers at {self._url}: {error or type(error).__name__}.\n"
                "Start one with `weir serve`, or say where it is with --base-url."
            ) from error
        finally:
            line.close()
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            answer = None
        if status == 200 and answer is not None:
            return answer
        raise click.ClickException(self._why(status, answer))

    def _why(self, status: int, answer: Any) -> str:
        error = answer.get("error") if isinstance(answer, dict) else None
        if not isinstance(error, dict) or "message" not in error:
            return f"What answers at {self._url} is no Weir, or an older one (status {status})."
        if status in (401, 403):
            return (
                f"The Weir at {self._url} does not take the admin key from {self._key_from}. Name its own "
                "configuration with --config, and its state folder with WEIR_STATE_DIR."
            )
        return str(error["message"])


def admin_key(config: Path) -> tuple[str, str]:
    """The admin key and where it was found: `server.admin_key`, or what `weir serve` made in the state folder."""
    loaded = read_config(config)
    reference = loaded.config.server.admin_key
    if reference:
        return loaded.secret(reference), f"`server.admin_key` in {config}"
    file = state_dir() / "admin.key"
    try:
        key = file.read_text().strip()
    except FileNotFoundError:
        key = ""
    except OSError as error:
        raise click.ClickException(f"The admin key in {file} cannot be read: {error.strerror}.") from error
    if not key:
        raise click.ClickException(
            f"There is no admin key in {file}. `weir serve` makes one at its first start: use the state folder of "
            "the Weir that is meant (WEIR_STATE_DIR), and its --config."
        )
    return key, str(file)
