"""Who is calling: the key in a request's headers, and how far a key of the staff goes.

The non-obvious decision: what a member of the staff may not see is not found, so that one who looks after one
tenant learns nothing of the others, not even their names.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from contracts.access import Author
from contracts.errors import AccessDenied, KeyMissing, NotFound
from contracts.ports import Keyring
from contracts.records import Key, Role

ROLES: tuple[Role, ...] = ("viewer", "operator", "approver")
"""Each may do all that those before it may."""


def bearer(headers: Mapping[str, str]) -> str:
    """The secret in `Authorization: Bearer ...`. Raises KeyMissing."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise KeyMissing("Send a Weir key as 'Authorization: Bearer sk-weir-...'.")
    return secret.strip()


@dataclass(frozen=True, slots=True)
class Staff:
    """Whoever opens more than answers. `by` is what the audit log calls them; `tenant` is empty for all tenants."""

    by: str
    role: Role
    tenant: str = ""

    def may(self, role: Role) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)

    def require(self, role: Role) -> None:
        """Raises AccessDenied."""
        if not self.may(role):
            raise AccessDenied(f"This needs the role '{role}'; this key has '{self.role}'.")

    def require_all(self) -> None:
        """Raises AccessDenied where this is the staff of one tenant."""
        if self.tenant:
            raise AccessDenied(f"This concerns all tenants; this key is for '{self.tenant}' only.")

    def sees(self, tenant: str) -> bool:
        return not self.tenant or tenant == self.tenant

    def own(self, tenant: str | None) -> str | None:
        """The tenant that a question is about; None is all of them, or the only one that this is the staff of.

        Raises NotFound for another's.
        """
        if not self.tenant:
            return tenant
        if tenant is not None and tenant != self.tenant:
            raise NotFound(f"There is no tenant '{tenant}' for this key.")
        return self.tenant

    def author(self, reason: str = "") -> Author:
        return Author(self.by, reason)


ADMIN = Staff("admin", ROLES[-1])


class Operators:
    """The admin key, which opens everything but answers; the staff's keys, in `keys`; and the metrics key."""

    def __init__(self, admin_key: str, metrics_key: str | None = None, keys: Keyring | None = None) -> None:
        self._admin = admin_key.encode()
        self._metrics = metrics_key.encode() if metrics_key else None
        self._keys = keys

    def is_admin(self, secret: str) -> bool:
        return hmac.compare_digest(secret.encode("utf-8", "surrogatepass"), self._admin)

    def staff(self, secret: str) -> Staff | None:
        """Whose `secret` is; None where it is no key of the admin or the staff."""
        if self.is_admin(secret):
            return ADMIN
        key = self._keys.staff(secret) if self._keys is not None else None
        return None if key is None else Staff(key.id, key.role, key.tenant)

    def require(self, headers: Mapping[str, str], role: Role, *, scoped: bool = False) -> Staff:
        """Who sent `headers`, in that role or a higher one. `scoped`: the staff of one tenant will do.

        Raises KeyMissing, AccessDenied, and for what may be a key of the staff KeyRefused or KeysUnavailable.
        """
        secret = bearer(headers)
        staff = self.staff(secret)
        if staff is None:
            if self._keys is not None:
                self._keys.find(secret)  # an unknown key is told from one of a tenant
            raise AccessDenied(f"This needs the admin key, or one of the staff with the role '{role}'.")
        staff.require(role)
        if not scoped:
            staff.require_all()
        return staff

    def reader(self, headers: Mapping[str, str], keys: Keyring, role: Role = "viewer") -> Staff | Key:
        """Who asks for what tenants may ask for too: of the staff in that role, or a tenant. Raises AccessError."""
        secret = bearer(headers)
        staff = self.staff(secret)
        if staff is None:
            return keys.find(secret)
        staff.require(role)
        return staff

    def require_metrics(self, headers: Mapping[str, str]) -> None:
        """Raises KeyMissing, or as `require` does."""
        secret = bearer(headers)
        if self._metrics is None or not hmac.compare_digest(secret.encode("utf-8", "surrogatepass"), self._metrics):
            self.require(headers, "viewer")
