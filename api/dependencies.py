"""What routes have in common: the key and the session it opens, parameters, the link to the next page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBasic, HTTPBasicCredentials, HTTPBearer

from api.database import EXPORTS_AT_ONCE, POOL_SIZE, Session, Store
from api.errors import KEY_NEEDED, unauthorized

PAGES_AT_ONCE = 2
MAX_KEY_CHARACTERS = 200


_bearer = HTTPBearer(auto_error=False, scheme_name="Bearer", description="The API key (ss_...) as a bearer token")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="X-API-Key", description="The API key (ss_...)")
_basic = HTTPBasic(
    auto_error=False, scheme_name="Basic", description="For browsers: any user name, the API key as password"
)


def _open(request: Request, key: str | None) -> Iterator[Session]:
    if not key:
        raise unauthorized(request.url.path, KEY_NEEDED)
    store: Store = request.app.state.store
    with store.session(key[:MAX_KEY_CHARACTERS]) as session:
        yield session


async def presented_key(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> str:
    """The API key of a request, not looked at yet. Raises ProblemError without one."""
    key = bearer.credentials if bearer else header
    if not key:
        raise unauthorized(request.url.path, KEY_NEEDED)
    return key[:MAX_KEY_CHARACTERS]


def _by_header(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> Iterator[Session]:
    yield from _open(request, bearer.credentials if bearer else header)


def _by_header_or_password(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
    basic: Annotated[HTTPBasicCredentials | None, Depends(_basic)],
) -> Iterator[Session]:
    yield from _open(request, bearer.credentials if bearer else basic.password if basic else header)


# scope: the connection goes back before a slow client has read the answer. max_concurrency: requests wait for one
# without a thread, else the waiting ones could take every thread and those with a connection could not go on.
Opened = Annotated[Session, Depends(_by_header, scope="function", max_concurrency=POOL_SIZE)]
OpenedForPage = Annotated[Session, Depends(_by_header_or_password, scope="function", max_concurrency=PAGES_AT_ONCE)]
OpenedForExport = Annotated[Session, Depends(_by_header, scope="function", max_concurrency=EXPORTS_AT_ONCE)]

Iccid = Annotated[
    str, Path(pattern="^[0-9]{19}$", description="19 digits, without the Luhn digit", examples=["8988280666000000001"])
]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items a page at most")]
AsOf = Annotated[date | None, Query(description="The last day that was known; default: the latest there is")]
Label = Annotated[
    str | None, Query(max_length=500, pattern=r"^[^\x00]*$", description="Only SIMs with exactly this label")
]


def link(request: Request, response: Response, following: str | int | None) -> None:
    if following is not None:
        url = request.url.include_query_params(after=following)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
