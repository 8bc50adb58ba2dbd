"""Keys over HTTP: scopes, rotation, networks, tokens of an identity provider, limits, what browsers are told."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from api.app import Guards, create_app
from api.limits import RateLimits
from resources.database.session import Database
from resources.errors import UsageError
from services.access import tokens as known_tokens
from services.access.api_keys import create_key, revoke_key, store_key
from services.access.tokens import OidcSettings
from tests.api.conftest import Seeded, Serve

NOW = datetime.now(UTC)


def test_a_key_is_made_rotated_with_an_overlap_and_revoked_over_http(
    admin: httpx.Client, stranger: httpx.Client, seeded: Seeded
) -> None:
    def works(key: str) -> int:
        return stranger.get("/v1/sims?limit=1", headers={"X-API-Key": key}).status_code

    wanted = {"name": " app ", "scopes": ["alerts", "read"], "networks": ["127.0.0.0/8", "::1"], "days": 10}
    made = admin.post("/v1/keys", json=wanted)
    assert (made.status_code, made.json()["name"], made.json()["scopes"]) == (201, "app", ["read", "alerts"])
    first = made.json()["key"]
    assert works(first) == 200
    assert admin.post("/v1/keys", json=wanted).status_code == 409

    rotated = admin.post("/v1/keys/app/rotate", json={"overlap_hours": 2})
    second = rotated.json()["key"]
    assert (rotated.status_code, works(first), works(second)) == (200, 200, 200)
    until = datetime.fromisoformat(rotated.json()["old_until"])
    assert timedelta(hours=1.9) < until - datetime.now(UTC) < timedelta(hours=2.1)
    seeded.run("UPDATE ops.api_keys SET expires_at = now() WHERE rotated_at IS NOT NULL")  # the overlap is over
    assert (works(first), works(second)) == (401, 200)
    listed = [item for item in admin.get("/v1/keys").json()["items"] if item["name"] == "app"]
    assert [(item["live"], item["rotated_at"] is None, item["scopes"], item["networks"]) for item in listed] == [
        (False, False, ["read", "alerts"], ["127.0.0.0/8", "::1/128"]),
        (True, True, ["read", "alerts"], ["127.0.0.0/8", "::1/128"]),
    ]
    assert first not in json.dumps(listed)

    third = admin.post("/v1/keys/app/rotate").json()["key"]
    assert admin.post("/v1/keys/app/revoke").status_code == 204  # the old one that still worked too
    assert (works(second), works(third)) == (401, 401)
    assert [admin.post(f"/v1/keys/app/{what}").status_code for what in ("revoke", "rotate")] == [404, 404]
    for wrong in (
        {"name": ""},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["all"]},
        {"name": "x", "days": 0},
    ):
        assert admin.post("/v1/keys", json=wrong).status_code == 422
    assert "10.0.0.0/33" in admin.post("/v1/keys", json={"name": "x", "networks": ["10.0.0.0/33"]}).json()["detail"]
    (organization,) = admin.get("/v1/organizations").json()["items"]
    assert (organization["slug"], organization["sims"]) == ("default", 12)


def test_a_route_refuses_a_key_without_its_scope_and_says_so(
    stranger: httpx.Client, client: httpx.Client, seeded: Seeded
) -> None:
    document = client.get("/openapi.json").json()
    needed = {
        (verb, path): {scope for way in route["security"] for scopes in way.values() for scope in scopes}
        for path, verbs in document["paths"].items()
        for verb, route in verbs.items()
        if "security" in route and not path.startswith("/streams")
    }
    assert needed["get", "/v1/sims"] == needed["post", "/v1/ai/query"] == needed["get", "/v1/report"] == {"read"}
    assert needed["post", "/v1/alert-rules"] == {"alerts"}
    assert needed["post", "/v1/actions"] == {"actions"}
    assert needed["get", "/v1/keys"] == needed["post", "/v1/keys"] == needed["get", "/v1/organizations"] == {"admin"}
    assert all(len(scopes) == 1 for scopes in needed.values()), needed
    for (verb, path), (scope,) in needed.items():
        route = document["paths"][path][verb]
        assert ({"403", "429"} <= route["responses"].keys(), f"`{scope}`" in route["description"]) == (True, True)

    database = Database(seeded.url, "default")
    key = create_key(database, "minder", now=NOW, valid_for=None, scopes=["alerts"])
    deputy = create_key(database, "deputy", now=NOW, valid_for=None, scopes=["read", "admin"])
    create_key(database, "spender", now=NOW, valid_for=None, scopes=["read", "actions"])
    database.close()
    headers = {"X-API-Key": key}
    for path in ("/v1/sims", "/v1/report", "/v1/alerts/stream", "/v1/keys", "/v1/export/sims"):
        answer = stranger.get(path, headers=headers)
        assert (path, answer.status_code) == (path, 403)
        scope = "admin" if path == "/v1/keys" else "read"
        assert (answer.headers["content-type"], f"'{scope}'" in answer.json()["detail"]) == (
            "application/problem+json",
            True,
        )
    assert stranger.post("/v1/actions", json={}, headers=headers).status_code == 403
    # an administrator gives nothing that it has not itself, neither in a new key nor in a successor
    headers = {"X-API-Key": deputy}
    refused = [
        stranger.post("/v1/keys", json={"name": "mine", "scopes": ["read", "actions"]}, headers=headers),
        stranger.post("/v1/keys/spender/rotate", headers=headers),
    ]
    assert [(answer.status_code, "actions" in answer.json()["detail"]) for answer in refused] == [(403, True)] * 2
    assert [key["name"] for key in stranger.get("/v1/keys", headers=headers).json()["items"]].count("spender") == 1


def test_a_key_works_from_its_networks_only_and_believes_trusted_proxies_alone(
    seeded: Seeded, serve_app: Serve
) -> None:
    database = Database(seeded.url, "default")
    far = create_key(database, "far", now=NOW, valid_for=None, networks=["203.0.113.0/24", "2001:db8::/32"])
    near = create_key(database, "near", now=NOW, valid_for=None, networks=["127.0.0.1"], scopes=["read", "alerts"])
    database.close()
    with serve_app(create_app(seeded.url)) as client:  # 127.0.0.1, where uvicorn takes a proxy to be
        for path in ("/v1/sims", "/v1/report", "/v1/alerts/stream", "/v1/sims?limit=0"):
            answer = client.get(path, headers={"X-API-Key": far})
            assert (path, answer.status_code, "address" in answer.json()["detail"]) == (path, 403, True)
            assert "203.0.113" not in answer.text
        for forwarded in ("203.0.113.9", "2001:db8::7", "198.51.100.1, 203.0.113.9"):
            headers = {"X-API-Key": far, "X-Forwarded-For": forwarded}
            assert (forwarded, client.get("/v1/sims", headers=headers).status_code) == (forwarded, 200)
        for forwarded in ("198.51.100.1", "203.0.113.9, 198.51.100.1", "203.0.113.9, nonsense"):
            headers = {"X-API-Key": far, "X-Forwarded-For": forwarded}
            assert (forwarded, client.get("/v1/sims", headers=headers).status_code) == (forwarded, 403)
        assert client.get("/v1/sims", headers={"X-API-Key": near}).status_code == 200
        acted = {"X-API-Key": near, "X-Forwarded-For": "198.51.100.1"}
        assert client.post("/v1/alerts/1/resolve", headers=acted).status_code == 403


# --- Tokens of an identity provider -----------------------------------------------------------------------------------

PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
AUDIENCE, SECRET = "simsight", "0123456789abcdef0123456789abcdef"


@contextmanager
def provider() -> Iterator[tuple[str, dict[str, int]]]:
    """An identity provider on this machine: its issuer, and how often it was asked for its keys."""
    asked = {"keys": 0}
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(PRIVATE.public_key()))

    class Provider(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.endswith("openid-configuration"):
                body: dict[str, Any] = {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
            else:
                asked["keys"] += 1
                body = {"keys": [public | {"kid": "k1", "use": "sig"}, {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"}]}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    issuer = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield issuer, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def token(issuer: str, key: Any = PRIVATE, algorithm: str = "RS256", kid: str = "k1", **claims: Any) -> str:
    now = int(time.time())
    said = {"iss": issuer, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 300, "organization": "default"}
    said |= {"scope": "openid read alerts"} | claims
    return jwt.encode({k: v for k, v in said.items() if v is not None}, key, algorithm, headers={"kid": kid})


def _forged(issuer: str) -> str:
    """A token whose HMAC is made with the public key as secret; PyJWT itself refuses to make one."""
    import hashlib
    import hmac

    pem = PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _, payload, _ = token(issuer).split(".")
    head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "k1"}).encode()).rstrip(b"=").decode()
    made = hmac.digest(pem, f"{head}.{payload}".encode(), hashlib.sha256)
    return f"{head}.{payload}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"


def test_tokens_of_the_identity_provider_stand_for_keys(seeded: Seeded, serve_app: Serve) -> None:
    database = Database(seeded.url, "default")
    with ExitStack() as stack:
        issuer, asked = stack.enter_context(provider())
        oidc = OidcSettings(issuer, AUDIENCE, SECRET)
        app = create_app(seeded.url, guards=Guards(oidc=oidc, failure_limit="none"))
        client = stack.enter_context(serve_app(app))

        def get(shown: str, path: str = "/v1/sims") -> httpx.Response:
            return client.get(path, headers={"Authorization": f"Bearer {shown}"})

        assert get(token(issuer)).status_code == 401  # the organization takes no tokens yet
        stored = {"now": NOW, "valid_for": None, "networks": (), "by": "test", "for_tokens": True}
        store_key(database, "sso", oidc.key_of("default"), scopes=["read", "alerts"], **stored)
        answer = get(token(issuer))
        assert (answer.status_code, answer.json()["items"][0]["iccid"]) == (200, seeded.iccid(1))
        assert get(token(issuer, scope=["read"])).status_code == 200
        assert get(oidc.key_of("default")).status_code == 401  # the key behind it opens nothing by itself
        acted = client.post("/v1/alerts/1/acknowledge", headers={"Authorization": f"Bearer {token(issuer)}"})
        assert (acted.status_code, acted.json()["acted_by"]) == (200, "API key sso:alice")
        assert get(token(issuer, scope=["viewer"])).status_code == 200
        only_read = {"Authorization": f"Bearer {token(issuer, scope='viewer')}"}
        assert client.post("/v1/alerts/1/reopen", headers=only_read).status_code == 403
        # neither more than the token gives nor more than the organization lets tokens do
        for shown, path in ((token(issuer, scope="openid"), "/v1/sims"), (token(issuer, scope="admin"), "/v1/keys")):
            assert (get(shown, path).status_code, "scope" in get(shown, path).json()["detail"]) == (403, True)

        now = int(time.time())
        none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"k1"}').rstrip(b"=").decode()
        wrong = {
            "expired": token(issuer, exp=now - 60),
            "not yet": token(issuer, nbf=now + 120),
            "of the future": token(issuer, iat=now + 120),
            "without an end": token(issuer, exp=None),
            "without a subject": token(issuer, sub=None),
            "another audience": token(issuer, aud="other"),
            "another issuer": token("http://127.0.0.1:1"),
            "another organization": token(issuer, organization="other"),
            "no organization": token(issuer, organization=None),
            "another key": token(issuer, STRANGE),
            "an unknown key": token(issuer, kid="k2"),
            "a symmetric key of the list": token(issuer, b"secret" * 6, "HS256", kid="oct"),
            "alg none": f"{none}.{token(issuer).split('.')[1]}.",
            "HS256 with the public key": _forged(issuer),
            "a changed payload": token(issuer).replace(".", ".A", 1),
        }
        statuses = {what: get(shown).status_code for what, shown in wrong.items()}
        assert statuses == dict.fromkeys(wrong, 401)
        said = get(wrong["expired"]).json()["detail"]
        assert (wrong["expired"] in said, "ExpiredSignatureError" in said) == (False, True)
        # clocks may differ a little
        assert get(token(issuer, exp=now - 10, iat=now - 60, nbf=now + 10)).status_code == 200
        assert asked["keys"] == 1  # fetched once, also for the key that is not there

        revoke_key(database, "sso")
        assert get(token(issuer)).status_code == 401
    database.close()


def test_keys_of_a_provider_that_does_not_answer_are_used_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> None:
        with provider() as (issuer, asked):
            oidc = OidcSettings(issuer, AUDIENCE, SECRET)
            checker, shown = known_tokens.Tokens(oidc), token(issuer)
            assert (await checker.credential(shown, None)).subject == "alice"
        clock = known_tokens.monotonic()
        monkeypatch.setattr(known_tokens, "monotonic", lambda: clock + 3600)  # to be fetched again, in vain
        assert (await checker.credential(shown, None)).subject == "alice"
        monkeypatch.setattr(known_tokens, "monotonic", lambda: clock + 2 * known_tokens.STALE_SECONDS)
        with pytest.raises(known_tokens.ProviderUnavailableError):
            await checker.credential(shown, None)
        assert asked["keys"] == 1

    asyncio.run(ask())
    for wrong in (("http://id.example", AUDIENCE, SECRET), ("https://id.example", "", SECRET), ("", AUDIENCE, "short")):
        with pytest.raises(UsageError):
            OidcSettings(*wrong)


def test_a_provider_that_was_never_reached_is_503_and_keys_still_work(seeded: Seeded, serve_app: Serve) -> None:
    oidc = OidcSettings("http://127.0.0.1:1", AUDIENCE, SECRET)
    with serve_app(create_app(seeded.url, guards=Guards(oidc=oidc))) as client:
        answer = client.get("/v1/sims", headers={"Authorization": f"Bearer {token(oidc.issuer)}"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
        assert client.get("/v1/sims", headers={"X-API-Key": seeded.keys["default"]}).status_code == 200


# --- Limits, compression, browsers ------------------------------------------------------------------------------------


def test_a_key_that_asks_too_often_and_an_address_of_wrong_keys_must_wait(seeded: Seeded, serve_app: Serve) -> None:
    guards = Guards(key_limit="5/hour", failure_limit="3/hour")
    keys = {name: {"X-API-Key": key} for name, key in seeded.keys.items()}
    with serve_app(create_app(seeded.url, guards=guards)) as client:
        ways = ["/v1/sims", "/v1/sims?limit=0", "/v1/report", "/v1/nowhere", "/v1/sims"]  # short, long, no route
        answers = [client.get(path, headers=keys["default"]) for path in ways]
        assert [answer.status_code for answer in answers] == [200, 422, 200, 404, 200]
        assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["4", "3", "2", "1", "0"]
        limited = [
            client.get("/v1/sims", headers=keys["default"]),
            client.post("/v1/ai/query", headers=keys["default"]),
        ]
        for answer in limited:
            assert (answer.status_code, answer.headers["content-type"]) == (429, "application/problem+json")
            wait = int(answer.headers["retry-after"])
            assert (0 < wait <= 3600, answer.headers["ratelimit-limit"], answer.headers["ratelimit-remaining"]) == (
                True,
                "5",
                "0",
            )
        assert client.get("/health").status_code == 200
        assert client.get("/v1/sims").status_code == 401  # without a key nothing is counted

        assert client.get("/v1/sims", headers=keys["other"]).status_code == 200
        wrong = [{"X-API-Key": f"ss_{n * 43}"} for n in "abcd"]
        assert [client.get("/v1/sims", headers=header).status_code for header in wrong] == [401, 401, 401, 429]
        assert client.get("/v1/sims", headers=keys["other"]).status_code == 200  # it worked before: it need not wait
        elsewhere = wrong[3] | {"X-Forwarded-For": "203.0.113.9"}
        assert client.get("/v1/sims", headers=elsewhere).status_code == 401


def test_a_store_that_does_not_answer_leaves_counting_to_the_process(caplog: pytest.LogCaptureFixture) -> None:
    async def take() -> list[bool]:
        limits = RateLimits(per_key="3/minute", store_url="redis://127.0.0.1:1")
        taken = [await limits.take(b"k") for _ in range(4)]
        return [one is not None and one.allowed for one in taken]

    assert asyncio.run(take()) == [True, True, True, False]
    assert "does not answer" in caplog.text


def test_a_limit_taken_in_lots_is_kept_to_the_last_request() -> None:
    async def take() -> tuple[int, list[int]]:
        limits = RateLimits(per_key="1000/hour")
        taken = [one for one in [await limits.take(b"k") for _ in range(1010)] if one is not None]
        return sum(one.allowed for one in taken), [one.remaining for one in taken]

    allowed, remaining = asyncio.run(take())
    assert (allowed, remaining) == (1000, [*range(999, -1, -1), *[0] * 10])
    for wrong in ("much", "5/fortnight", ""):
        with pytest.raises(UsageError):
            RateLimits(per_key=wrong)


def test_answers_are_compressed_as_the_client_likes_and_streams_are_not(client: httpx.Client) -> None:
    for path in ("/v1/sims", "/v1/export/sims", "/docs/plain"):  # short way, stream of a file, page
        plain = client.get(path, headers={"Accept-Encoding": "identity"})
        for accepted, encoding in (
            ("zstd, br, gzip", "zstd"),
            ("br, gzip", "br"),
            ("gzip", "gzip"),
            ("zstd;q=0", None),
        ):
            with client.stream("GET", path, headers={"Accept-Encoding": accepted}) as answer:
                body = b"".join(answer.iter_raw())
                assert (path, accepted, answer.headers.get("content-encoding")) == (path, accepted, encoding)
                assert "accept-encoding" in answer.headers["vary"].lower()
            if encoding == "gzip":
                body = gzip.decompress(body)
            if encoding in (None, "gzip") and path != "/v1/export/sims":
                assert body == plain.content
    whole = client.get("/v1/export/sims?format=parquet", headers={"Accept-Encoding": "zstd, br, gzip"})
    assert ("content-encoding" in whole.headers, int(whole.headers["content-length"])) == (False, len(whole.content))
    with client.stream("GET", "/v1/alerts/stream", headers={"Accept-Encoding": "zstd, br, gzip"}) as live:
        assert "content-encoding" not in live.headers
        assert next(live.iter_lines()).startswith("retry:")


def test_https_by_a_proxy_is_kept_to_and_other_origins_are_let_in_by_setting_only(
    seeded: Seeded, serve_app: Serve
) -> None:
    key = {"X-API-Key": seeded.keys["default"]}
    origin = {"Origin": "https://app.example"}
    asked = origin | {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-api-key"}
    with serve_app(create_app(seeded.url)) as client:
        for path in ("/v1/sims", "/v1/sims?limit=0", "/health", "/docs", "/nowhere", "/v1/report"):
            for proto, said in (("https", "max-age=31536000"), ("http", None)):
                answer = client.get(path, headers=key | {"X-Forwarded-Proto": proto})
                assert (path, answer.headers.get("strict-transport-security")) == (path, said)
        assert "access-control-allow-origin" not in client.get("/v1/sims", headers=key | origin).headers
        assert client.options("/v1/sims", headers=asked).status_code == 405
    guards = Guards(cors_origins=("https://app.example",), hsts_days=0)
    with serve_app(create_app(seeded.url, guards=guards)) as client:
        answer = client.get("/v1/sims", headers=key | origin | {"X-Forwarded-Proto": "https"})
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert "ratelimit-remaining" in answer.headers["access-control-expose-headers"].lower()
        assert "strict-transport-security" not in answer.headers
        assert "access-control-allow-credentials" not in answer.headers
        assert client.options("/v1/sims", headers=asked).status_code == 200
        evil = client.get("/v1/sims", headers=key | {"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in evil.headers
