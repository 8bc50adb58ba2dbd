"""A receiver of webhooks, as a customer would run one."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class HookServer:
    """A real HTTP server that keeps what is posted to it, and does what it says once a key, as a good receiver does."""

    url: str
    posts: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    status: int = 200
    on_post: Callable[[], None] = lambda: None

    @property
    def done(self) -> dict[str, dict[str, Any]]:
        return {headers["idempotency-key"]: json.loads(body) for headers, body in self.posts}


@contextmanager
def hook_server(path: str) -> Iterator[HookServer]:
    """A receiver on a free port of this machine."""
    kept = HookServer("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.posts.append(({name.lower(): value for name, value in self.headers.items()}, body))
            kept.on_post()
            self.send_response(kept.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_address[1]}{path}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def signature(secret: str, headers: dict[str, str], body: bytes) -> str:
    """What X-Simsight-Signature must be, as docs/alerts.md says it."""
    signed = hmac.new(secret.encode(), f"{headers['x-simsight-timestamp']}.".encode() + body, hashlib.sha256)
    return f"v1={signed.hexdigest()}"
