"""Who is signed in to the dashboard: a session of some hours, opened with an API key and kept in a cookie.

A session is looked up as a key is, and may do what its key may; the key itself stays in no browser. Its cookie is sent
by pages of the same site only, and no script can read it. What changes something also shows a header that only a page
of ours can make (`csrf_token`).
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import replace
from hashlib import sha256
from typing import Annotated

from fastapi import Depends, Request

from api.database import InvalidKeyError
from api.dependencies import Asked
from api.errors import ProblemError
from services.access.api_keys import Credential, NotAllowedError, key_sha256

COOKIE = "simsight_session"
CSRF_HEADER = "X-Simsight-CSRF"
SESSION_HOURS = 12
# not that of a key: neither is taken for the other
FORM = re.compile("st_[A-Za-z0-9_-]{43}")


class SignedOutError(Exception):
    """Nobody is signed in, or the session has ended."""


def new_session() -> str:
    """A token for a session, 256 random bits."""
    return "st_" + secrets.token_urlsafe(32)


def session_token(request: Request) -> str:
    """The token of the request's session, not looked up yet. Raises SignedOutError without one."""
    token = request.cookies.get(COOKIE, "")
    if not FORM.fullmatch(token):
        raise SignedOutError
    return token


def credential(request: Request, token: str) -> Credential:
    """What is looked up for a token or a key that the request shows."""
    return Credential(key_sha256(token), request.client.host if request.client else "?")


def csrf_token(session: str) -> str:
    """What a page of this session shows with each change."""
    return hmac.digest(session.encode(), b"simsight csrf", sha256).hex()


async def signed_in(request: Request) -> Asked:
    """What the signed-in may ask of the database. Raises SignedOutError."""
    asked = Asked(request.app.state.readers, credential(request, session_token(request)))
    try:
        await asked.read()
    except (InvalidKeyError, NotAllowedError):
        raise SignedOutError from None
    count_use(request, asked.key)
    request.state.scopes = asked.scopes  # pages show what the key may do
    return asked


async def signed_in_as_admin(request: Request) -> Asked:
    """What a signed-in administrator may ask. Raises SignedOutError, and NotAllowedError for others."""
    asked = await signed_in(request)
    asked.key = replace(asked.key, needs="admin")
    await asked.read()
    return asked


def count_use(request: Request, shown: Credential, *, refused: bool = False) -> None:
    """Count a request for the key that it shows, or that its session was opened with, as the gate does of the API."""
    request.app.state.key_use.count(shown.sha256, shown.address or "?", request.url.path, refused=refused)


async def changing(request: Request) -> Credential:
    """The session of a request that changes something.

    Raises SignedOutError, and ProblemError 403 for a request that no page of ours sent.
    """
    token = session_token(request)
    shown = request.headers.get(CSRF_HEADER, "").encode("latin-1")
    if not hmac.compare_digest(shown, csrf_token(token).encode()):
        raise ProblemError(403, f"This change was not sent by a page of the dashboard: it lacks {CSRF_HEADER}.")
    return (await signed_in(request)).key


SignedIn = Annotated[Asked, Depends(signed_in)]
SignedInAsAdmin = Annotated[Asked, Depends(signed_in_as_admin)]
Changing = Annotated[Credential, Depends(changing)]
