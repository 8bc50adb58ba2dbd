"""Tokens of an identity provider (OpenID Connect) in the place of API keys. Needs the extra `oidc`.

A token is checked here and then stands for a key of its organization, which nobody is ever shown: the service makes it
of a secret of its own and the organization's name. So the database lets a token in exactly as it lets a key in, and
`simsight api-key revoke` shuts all tokens of an organization out.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from resources import tracing
from resources.errors import SimsightError, UsageError
from services.access.api_keys import PREFIX, Credential, Scope, key_sha256, scopes_in

if TYPE_CHECKING:
    from resources.settings import Settings

# a public key checks these, and never makes a signature: HS256 with the public key as its secret, and none, are out
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
KEY_TYPES = ("RSA", "EC", "OKP")
LEEWAY_SECONDS = 30  # by which the provider's clock and ours may differ
FRESH_SECONDS = 600.0  # until the provider's keys are fetched again
STALE_SECONDS = 86_400.0  # as long as fetched keys are used while the provider does not answer
RETRY_SECONDS = 10.0  # between two fetches, also for a key that is not known
FETCH_SECONDS = 5.0
MAX_JWKS_BYTES = 1_000_000
MAX_TOKEN = 16_000
MIN_SECRET = 32


class TokenError(SimsightError):
    """The token is not accepted; the message says why, and holds nothing of it."""


class ProviderUnavailableError(SimsightError):
    """The identity provider's keys cannot be fetched, and none are known that may still be used."""


@dataclass(frozen=True)
class OidcSettings:
    """Whose tokens are accepted, and how they are read.

    issuer, audience    as the token must name them
    secret              of this service, of which the keys behind tokens are made
    organization_claim  the claim that holds the organization's name
    scopes_claim        the claim that holds scopes or roles, as a list or separated by spaces; other words are ignored
    jwks_url            where the provider's keys are; empty: its discovery document says
    """

    issuer: str
    audience: str
    secret: str
    organization_claim: str = "organization"
    scopes_claim: str = "scope"
    jwks_url: str = ""

    def __post_init__(self) -> None:
        if len(self.secret) < MIN_SECRET or not self.audience:
            raise UsageError(
                f"SIMSIGHT_OIDC_ISSUER needs SIMSIGHT_OIDC_AUDIENCE, and in SIMSIGHT_OIDC_SECRET {MIN_SECRET} random "
                "characters or more, such as `openssl rand -hex 32` prints"
            )
        for url in (self.issuer, self.jwks_url):
            parts = urlsplit(url)
            if url and parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
                raise UsageError(f"{url}: the identity provider must be reached by https")

    def key_of(self, organization: str) -> str:
        """The key that tokens of an organization stand for."""
        made = hmac.digest(self.secret.encode(), f"tokens of {organization}".encode(), hashlib.sha256)
        return PREFIX + base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def looks_like_token(text: str) -> bool:
    """Whether a text has the form of a JWT."""
    return text.count(".") == 2 and text.startswith("ey") and len(text) <= MAX_TOKEN


class Tokens:
    """Checks tokens in the event loop; keeps the provider's keys."""

    def __init__(self, settings: OidcSettings) -> None:
        try:
            import jwt
        except ModuleNotFoundError:
            raise UsageError("SIMSIGHT_OIDC_ISSUER needs the extra oidc: pip install 'simsight[oidc]'") from None
        self._jwt = jwt
        self._settings = settings
        self._keys: dict[str, Any] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def credential(self, token: str, address: str | None, needs: Scope = "read") -> Credential:
        """What a token stands for. Raises TokenError and ProviderUnavailableError."""
        settings = self._settings
        try:
            header = self._jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise TokenError("the token is not signed by one of " + ", ".join(ALGORITHMS))
            claims = self._jwt.decode(
                token,
                await self._key(header.get("kid")),
                algorithms=list(ALGORITHMS),
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except self._jwt.PyJWTError as error:
            raise TokenError(f"the token is not accepted: {type(error).__name__}") from None
        return Credential(
            key_sha256(settings.key_of(_organization(claims, settings.organization_claim))),
            address,
            needs,
            _subject(claims),
            _scopes(claims.get(settings.scopes_claim)),
        )

    async def _key(self, name: str | None) -> Any:
        """The provider's key of this name. Raises TokenError and ProviderUnavailableError."""
        now = monotonic()
        known = self._find(name)
        if (known is None or now - self._fetched_at > FRESH_SECONDS) and now - self._tried_at > RETRY_SECONDS:
            async with self._fetching:
                if monotonic() - self._tried_at > RETRY_SECONDS:
                    await self._fetch()
            known = self._find(name)
        if monotonic() - self._fetched_at > STALE_SECONDS:
            raise ProviderUnavailableError("the identity provider does not answer")
        if known is None:
            raise TokenError("the token is signed by no key of the identity provider")
        return known

    def _find(self, name: str | None) -> Any:
        if name is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(name)

    async def _fetch(self) -> None:
        """Fetch the provider's keys; what is known stays where that fails."""
        import httpx

        self._tried_at = monotonic()
        try:
            async with httpx.AsyncClient(timeout=FETCH_SECONDS) as client:
                url = self._settings.jwks_url
                if not url:
                    found = await _json(client, self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
                    if found.get("issuer") != self._settings.issuer:
                        return
                    url = str(found["jwks_uri"])
                listed = (await _json(client, url))["keys"]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
            return
        keys = {}
        for key in listed:
            if isinstance(key, dict) and key.get("kty") in KEY_TYPES and key.get("use", "sig") == "sig":
                try:
                    keys[str(key.get("kid", ""))] = self._jwt.PyJWK(key)
                except self._jwt.PyJWTError:  # of an algorithm that is not known here
                    continue
        self._keys, self._fetched_at = keys, monotonic()


async def _json(client: Any, url: str) -> Mapping[str, Any]:
    with tracing.request("GET", urlsplit(url).hostname or "") as sent:
        answer = await client.get(url)
        tracing.answered(sent, answer.status_code)
    answer.raise_for_status()
    if len(answer.content) > MAX_JWKS_BYTES:
        raise ValueError("too large")
    found = answer.json()
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def _organization(claims: Mapping[str, Any], claim: str) -> str:
    found = claims.get(claim)
    if not isinstance(found, str) or not found or len(found) > 63:
        raise TokenError(f"the token's claim {claim!r} names no organization")
    return found


def _subject(claims: Mapping[str, Any]) -> str:
    found = claims["sub"]
    if not isinstance(found, str) or not 0 < len(found) <= 200 or not found.isprintable():
        raise TokenError("the token's subject is not a printable text of up to 200 characters")
    return found


def _scopes(found: Any) -> frozenset[str]:
    words = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
    return scopes_in(word for word in words if isinstance(word, str))


def oidc_of(settings: Settings) -> OidcSettings | None:
    """The identity provider of the settings; None without one. Raises UsageError for half of one."""
    if not settings.oidc_issuer:
        return None
    return OidcSettings(
        settings.oidc_issuer,
        settings.oidc_audience,
        settings.oidc_secret.get_secret_value() if settings.oidc_secret else "",
        settings.oidc_organization_claim,
        settings.oidc_scopes_claim,
        settings.oidc_jwks_url,
    )
