"""Who is signed in to the dashboard: a session of some hours, opened with an API key and kept in a cookie.

A session is looked up as a key is, and opens what its key does; the key itself stays in no browser. Its cookie is sent
to pages of the same site only and to no script. What changes something also shows a header that only a page of ours
can make (`csrf_token`).
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Annotated

from fastapi import Depends, Request

from api.database import InvalidKeyError
from api.dependencies import Asked
from api.errors import ProblemError
from services.access.api_keys import has_form

COOKIE = "simsight_session"
CSRF_HEADER = "X-Simsight-CSRF"
SESSION_HOURS = 12


class SignedOutError(Exception):
    """Nobody is signed in, or the session has ended."""


def session_token(request: Request) -> str:
    """The token of the request's session, not looked up yet. Raises SignedOutError without one."""
    token = request.cookies.get(COOKIE, "")
    if not has_form(token):
        raise SignedOutError
    return token


def csrf_token(session: str) -> str:
    """What a page of this session shows with each change."""
    return hmac.digest(session.encode(), b"simsight csrf", sha256).hex()


async def signed_in(request: Request) -> Asked:
    """What the signed-in may ask of the database. Raises SignedOutError."""
    token = session_token(request)
    try:
        await request.app.state.readers.read(token)
    except InvalidKeyError:
        raise SignedOutError from None
    return Asked(request.app.state.readers, token)


async def changing(request: Request) -> str:
    """The session's token, for a request that changes something. Raises SignedOutError, and ProblemError 403 for a
    request that no page of ours sent."""
    token = session_token(request)
    if not hmac.compare_digest(request.headers.get(CSRF_HEADER, ""), csrf_token(token)):
        raise ProblemError(403, f"This change was not sent by a page of the dashboard: it lacks {CSRF_HEADER}.")
    return token


SignedIn = Annotated[Asked, Depends(signed_in)]
Changing = Annotated[str, Depends(changing)]
