"""The Redis that tests use, where there is one: a database of its own, emptied before and after."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

DATABASE = 8 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw1").removeprefix("gw")) % 8
"""Of those from 8 to 15 one for each of the tests' processes, which empty it at will."""


@contextmanager
def empty_redis() -> Iterator[str]:
    """Its URL. Skips the test where there is none; in CI that is a failure."""
    url = f"{os.environ.get('WEIR_TEST_REDIS', 'redis://127.0.0.1:6379').rstrip('/')}/{DATABASE}"
    with redis.Redis.from_url(url, socket_connect_timeout=5) as client:
        try:
            client.flushdb()
        except (OSError, redis.RedisError) as error:
            reason = f"no Redis at {url} ({error}); start one there or set WEIR_TEST_REDIS"
            (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
        yield url
        client.flushdb()
