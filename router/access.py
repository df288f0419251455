"""Who is calling: the key in a request's headers, and the two keys that open more than answers."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from contracts.errors import AccessDenied, KeyMissing


def bearer(headers: Mapping[str, str]) -> str:
    """The secret in `Authorization: Bearer ...`. Raises KeyMissing."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise KeyMissing("Send a Weir key as 'Authorization: Bearer sk-weir-...'.")
    return secret.strip()


class Operators:
    """The admin key, which opens /admin and /metrics, and the metrics key, which opens /metrics alone."""

    def __init__(self, admin_key: str, metrics_key: str | None = None) -> None:
        self._admin = admin_key.encode()
        self._metrics = metrics_key.encode() if metrics_key else None

    def is_admin(self, secret: str) -> bool:
        return hmac.compare_digest(secret.encode(), self._admin)

    def require_admin(self, headers: Mapping[str, str]) -> None:
        """Raises KeyMissing or AccessDenied."""
        if not self.is_admin(bearer(headers)):
            raise AccessDenied("This needs the admin key.")

    def require_metrics(self, headers: Mapping[str, str]) -> None:
        """Raises KeyMissing or AccessDenied."""
        secret = bearer(headers)
        reads_metrics = self._metrics is not None and hmac.compare_digest(secret.encode(), self._metrics)
        if not reads_metrics and not self.is_admin(secret):
            raise AccessDenied("This needs the metrics key or the admin key.")
