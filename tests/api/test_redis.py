"""Limits that several processes share, against a real Redis; skipped where redis-server is not installed."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from api.limits import RateLimits

SERVER = shutil.which("redis-server")
pytestmark = pytest.mark.skipif(SERVER is None, reason="needs redis-server")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The URL of a Redis of its own, on a socket, and its process."""
    assert SERVER is not None
    path = tmp_path / "redis.sock"
    command = [SERVER, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        try:
            assert server.stdout is not None
            while b"ready to accept connections" not in (line := server.stdout.readline()).lower():
                assert line, "redis-server has ended"
            yield f"redis+unix://{path}", server
        finally:
            server.terminate()


def test_processes_count_together_and_each_for_itself_once_redis_is_gone(
    store: tuple[str, subprocess.Popen[bytes]],
) -> None:
    url, server = store
    key, address = b"k" * 32, "203.0.113.7"

    async def asked() -> None:
        one, two = (RateLimits(per_key="10/hour", wrong_keys="4/hour", store_url=url) for _ in range(2))
        allowed = []
        for n in range(14):
            taken = await (one, two)[n % 2].take(key)
            assert taken is not None
            allowed.append(taken.allowed)
        assert allowed == [True] * 10 + [False] * 4, "ten of both together"
        other = await two.take(b"o" * 32)
        assert other is not None
        assert other.allowed, "another key has its own"

        for n in range(4):
            assert one.blocked_s(address, b"w") is None
            await (one, two)[n % 2].failed(address, b"w%d" % n)
        await one.failed(address, b"w5")
        assert (one.blocked_s(address, b"w6") or 0) > 0

        # what is counted does not outlive its window
        kept = redis.Redis.from_url(url.replace("redis+unix", "unix"))
        names = kept.keys()
        assert isinstance(names, list)
        assert names
        assert all(0 < int(str(kept.ttl(name))) <= 3600 for name in names)
        kept.close()

        server.terminate()
        server.wait()
        # a key that was refused may go on by the count of this process: the service stays open without Redis
        fresh = RateLimits(per_key="3/hour", store_url=url)
        answers = [await fresh.take(key) for _ in range(4)]
        assert [taken.allowed for taken in answers if taken] == [True, True, True, False]

    asyncio.run(asked())
