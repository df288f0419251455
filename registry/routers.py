"""How the heads of routes are called in the registry: after the route, and the tenant they were learned from.

Both names may hold slashes, so where either does, a hash over the two keeps one pair's artefacts apart from
another's. Who reads an artefact asks its card all the same, which has both.
"""

from __future__ import annotations

from hashlib import blake2b

ROUTER = "router"
"""The kind of an artefact of heads."""


def artefact_name(route: str, owner: str) -> str:
    """`owner`: a tenant, or "" for heads that all tenants taught together."""
    name = f"{route}/{owner}" if owner else route
    if "/" not in route + owner:
        return name
    apart = blake2b(f"{route}\0{owner}".encode(), digest_size=4).hexdigest()
    return f"{name}/{apart}"
