"""What routes have in common: the key and the session it opens, parameters, the link to the next page."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

from fastapi import Depends, Path, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.params import Security  # the function of this name takes neither scope nor max_concurrency
from fastapi.security import (
    APIKeyHeader,
    HTTPAuthorizationCredentials,
    HTTPBasic,
    HTTPBasicCredentials,
    HTTPBearer,
    SecurityScopes,
)
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError
from starlette.requests import HTTPConnection

from api.called import called_prefix
from api.connections import Row
from api.database import EXPORTS_AT_ONCE, InvalidKeyError, Session, Store
from api.errors import KEY_NEEDED, ONE_KEY_NEEDED, ProblemError, unauthorized, wrong_parameter
from api.readers import Readers
from api.schemas.common import Cursor, FieldProblem
from api.writing import WRITER_POOL_SIZE, Writers
from resources.once.values import without_check_digit
from services.access.api_keys import Credential, Scope, has_form, key_sha256, lacks

PAGES_AT_ONCE = 2
QUESTIONS_AT_ONCE = 4
C = TypeVar("C", bound=Cursor)
R = TypeVar("R")
SQL_AT_ONCE = 2
REPORTS_AT_ONCE = 1  # each takes a processor for a second
TOKEN = "simsight.token"  # noqa: S105 - the name under which a request keeps what its token stands for


_bearer = HTTPBearer(auto_error=False, scheme_name="Bearer", description="The API key (ss_...) as a bearer token")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="X-API-Key", description="The API key (ss_...)")
_basic = HTTPBasic(
    auto_error=False, scheme_name="Basic", description="For browsers: any user name, the API key as password"
)


def one_key(connection: HTTPConnection, *, needs: Scope = "read", password: bool = False) -> Credential:
    """The API key of a request, not looked up yet; with `password` also that of Basic.

    needs   the scope that the request needs
    Raises ProblemError without one, and where something else is presented beside it: that would be accepted unseen.
    Raises InvalidKeyError for what has not the form of a key.
    """
    text = shown_key(connection, password=password)
    address = connection.client.host if connection.client else "?"
    if has_form(text):
        return Credential(key_sha256(text), address, needs)
    known = connection.scope.get(TOKEN)  # what api.gate made of a token
    if isinstance(known, Credential):
        return replace(known, needs=needs)
    raise known or InvalidKeyError


def shown_key(connection: HTTPConnection, *, password: bool) -> str:
    """What a request shows as its key. Raises ProblemError as one_key does."""
    keys = {key for key in connection.headers.getlist("x-api-key") if key}
    others = False
    for value in connection.headers.getlist("authorization"):
        scheme, _, credentials = value.strip().partition(" ")
        if scheme.lower() == "bearer" and credentials.strip():
            keys.add(credentials.strip())
        elif scheme.lower() == "basic" and password:
            keys.add(_password(credentials))
        elif value:
            others = True
    if not keys:
        raise unauthorized(connection.url.path, KEY_NEEDED)
    if len(keys) > 1 or others:
        raise unauthorized(connection.url.path, ONE_KEY_NEEDED)
    return keys.pop()


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _open(request: Request, key: Credential) -> Iterator[Session]:
    store: Store = request.app.state.store
    with store.session(key) as session:
        only_known_parameters(request)
        yield session


# the parameters that are not used describe in the OpenAPI document how to sign in
async def presented_key(
    request: Request,
    scopes: SecurityScopes,
    _bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    _header: Annotated[str | None, Depends(_header)],
) -> Credential:
    """The API key of a request, not looked up yet. Raises as `one_key` does."""
    key = one_key(request, needs=_needs(scopes))
    only_known_parameters(request)
    return key


def _needs(scopes: SecurityScopes) -> Scope:
    """The scope that a route needs, as its Security names it."""
    return cast(Scope, scopes.scopes[0])


class Asked:
    """What a request may ask of the database: queries for the organization of its key."""

    def __init__(self, readers: Readers, key: Credential) -> None:
        self._readers, self.key = readers, key
        self._moments: set[str | None] = set()

    @property
    def moment(self) -> str | None:
        """The moment of the database that all was read at; None where there is not one."""
        return next(iter(self._moments)) if len(self._moments) == 1 else None

    @property
    def has_asked(self) -> bool:
        """Whether the database was asked, and the key looked at with that."""
        return bool(self._moments)

    @property
    def scopes(self) -> frozenset[str]:
        """What the key may do, after it was let in."""
        return self._readers.allowed(self.key)

    async def read(self, *queries: tuple[str, Mapping[str, Any]]) -> list[list[Row]]:
        """Return the rows of each query, all as of one moment. Raises as Readers.read does."""
        moment, found = await self._readers.read_at(self.key, *queries)
        self._moments.add(moment)
        return found

    async def rows(self, name: str, parameters: Mapping[str, Any]) -> list[Row]:
        """Return the rows of one query; raises as `read` does."""
        return (await self.read((name, parameters)))[0]


async def asked(
    request: Request,
    scopes: SecurityScopes,
    _bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    _header: Annotated[str | None, Depends(_header)],
) -> Asked:
    """What a request with this key may ask; a wrong key comes before a wrong parameter."""
    key, readers = one_key(request, needs=_needs(scopes)), request.app.state.readers
    await readers.read(key)
    only_known_parameters(request)
    return Asked(readers, key)


def _by_header(
    request: Request,
    _bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    _header: Annotated[str | None, Depends(_header)],
) -> Iterator[Session]:
    yield from _open(request, one_key(request))


def _by_header_or_password(
    request: Request,
    _bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    _header: Annotated[str | None, Depends(_header)],
    _basic: Annotated[HTTPBasicCredentials | None, Depends(_basic)],
) -> Iterator[Session]:
    yield from _open(request, one_key(request, password=True))


class Reading:
    """Reads at the replica where that may be, as Store.read does."""

    def __init__(self, store: Store, key: Credential) -> None:
        self._store, self._key = store, key

    def do(self, work: Callable[[Session], R]) -> R:
        return self._store.read(self._key, work)


def _reading(
    request: Request,
    _bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    _header: Annotated[str | None, Depends(_header)],
) -> Iterator[Reading]:
    key, store = one_key(request), request.app.state.store
    with store.session(key):  # a wrong key comes before a wrong parameter
        only_known_parameters(request)
    yield Reading(store, key)


def only_known_parameters(request: Request) -> None:
    """Raise ProblemError for a query parameter that the route does not have, or that is given twice where one counts:
    an answer that silently ignores a condition would be taken for the answer to it."""
    given = [name for name, _ in request.query_params.multi_items()]
    if not given:
        return
    known = _query_parameters(request.scope["route"].dependant)
    wrong = []
    for name in dict.fromkeys(given):
        if name not in known:
            wrong.append(FieldProblem(field=name[:100], message=_unknown(name, list(known))))
        elif given.count(name) > 1 and not known[name]:
            wrong.append(FieldProblem(field=name, message="is given more than once: give it once"))
    if wrong:
        raise ProblemError(422, "; ".join(f"{item.field}: {item.message}" for item in wrong), errors=wrong)


def _unknown(name: str, known: list[str]) -> str:
    if not known:
        return "is no parameter here: there are none"
    near = get_close_matches(name, known, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"is no parameter here: {meant}There are {', '.join(sorted(known))}"


def _query_parameters(dependant: Dependant) -> dict[str, bool]:
    """The query parameters of a route and what it depends on, each with whether it may be repeated."""
    found = {}
    for field in dependant.query_params:
        annotation = field.field_info.annotation
        found[field.alias] = any(get_origin(part) is list for part in (annotation, *get_args(annotation)))
    for other in dependant.dependencies:
        found |= _query_parameters(other)
    return found


# scopes: what the key must have, which the OpenAPI document says of each route
Asking = Annotated[Asked, Security(asked, scopes=["read"])]
AskingAsAdmin = Annotated[Asked, Security(asked, scopes=["admin"])]
PresentedKey = Annotated[Credential, Security(presented_key, scopes=["read"])]
PresentedAdminKey = Annotated[Credential, Security(presented_key, scopes=["admin"])]
# scope: the connection goes back before a slow client has read the answer. max_concurrency: requests wait for one
# without a thread, else the waiting ones could take every thread and those with a connection could not go on.
OpenedForPage = Annotated[
    Session, Security(_by_header_or_password, scopes=["read"], scope="function", max_concurrency=PAGES_AT_ONCE)
]
ReadingForExport = Annotated[
    Reading, Security(_reading, scopes=["read"], scope="function", max_concurrency=EXPORTS_AT_ONCE)
]
OpenedForReport = Annotated[
    Session, Security(_by_header, scopes=["read"], scope="function", max_concurrency=REPORTS_AT_ONCE)
]
OpenedForSql = Annotated[Session, Security(_by_header, scopes=["read"], scope="function", max_concurrency=SQL_AT_ONCE)]
ReadingForQuestion = Annotated[
    Reading, Security(_reading, scopes=["read"], scope="function", max_concurrency=QUESTIONS_AT_ONCE)
]

KnownParameters = Depends(only_known_parameters)


def _shape(pattern: str, message: str) -> BeforeValidator:
    """Refuse a text of another form than the documented one, which pydantic would try to make sense of: `1_0` for 10, a
    number of seconds since 1970 for a day."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(message)
        return value

    return BeforeValidator(check)


def _short_iccid(digits: str) -> str:
    try:
        return without_check_digit(digits)
    except ValueError as error:
        raise PydanticCustomError("iccid", "{reason}", {"reason": str(error)}) from None


Day = Annotated[date, _shape("[0-9]{4}-[0-9]{2}-[0-9]{2}", "a day is written YYYY-MM-DD")]
DIGITS = _shape("-?[0-9]{1,19}", "a whole number is needed, digits only")
# limits stand before the shape: beside Query or Path pydantic would keep them out of the documented schema
RowId = Annotated[int, Field(ge=0, le=2**63 - 1), DIGITS]
ICCID_FORM = "19 digits, or 20 with the check digit"
Iccid = Annotated[
    str,
    Path(pattern="^[0-9]{19,20}$", description=ICCID_FORM, examples=["8988228066033969969"]),
    AfterValidator(_short_iccid),
]
OfSim = Annotated[
    Annotated[str, Field(pattern="^[0-9]{19,20}$"), AfterValidator(_short_iccid)] | None,
    Query(description=f"Only this SIM: {ICCID_FORM}"),
]
Limit = Annotated[int, Field(ge=1, le=1000), DIGITS, Query(description="Items a page at most")]
AsOf = Annotated[Day | None, Query(description="The last day that was known; default: the latest there is")]
Label = Annotated[
    str | None, Query(max_length=500, pattern=r"^[^\x00]*$", description="Only SIMs with exactly this label")
]


READ_ONLY = lacks("alerts")


class WriteAccess:
    """Who asks to change something: the key, which was looked up, and the connections for it."""

    def __init__(self, request: Request, key: Credential) -> None:
        self.key, self.now = key, request.app.state.clock()
        self.present = datetime.now(UTC)  # the clock of the service may pretend; keys live by the real one
        self.store: Store = request.app.state.store
        self.writers: Writers = request.app.state.writers


def _write_access(
    request: Request, scopes: SecurityScopes, key: Annotated[Credential, Depends(presented_key)]
) -> Iterator[WriteAccess]:
    key = replace(key, needs=_needs(scopes))
    access = WriteAccess(request, key)
    with access.store.session(key):  # an unknown key is 401, one without the scope 403, whatever else is wrong
        pass
    yield access


# a request that waits for a connection holds no thread
Caller = Annotated[
    WriteAccess, Security(_write_access, scopes=["alerts"], scope="function", max_concurrency=WRITER_POOL_SIZE)
]
# one at a time: it may hold a connection for seconds
BulkCaller = Annotated[WriteAccess, Security(_write_access, scopes=["alerts"], scope="function", max_concurrency=1)]
ActionCaller = Annotated[
    WriteAccess, Security(_write_access, scopes=["actions"], scope="function", max_concurrency=WRITER_POOL_SIZE)
]
AdminCaller = Annotated[
    WriteAccess, Security(_write_access, scopes=["admin"], scope="function", max_concurrency=WRITER_POOL_SIZE)
]
Trying = Annotated[
    WriteAccess, Security(_write_access, scopes=["read"], scope="function", max_concurrency=EXPORTS_AT_ONCE)
]


def link(request: Request, following: str | int | None) -> str | None:
    """The header Link to the next page; None without one."""
    if following is None:
        return None
    url = request.url.include_query_params(after=following)
    return f'<{called_prefix(request)}{url.path}?{url.query}>; rel="next"'


def cursor_of(kind: type[C], text: str) -> C | None:
    """The place a walk has come to; None at its beginning. Raises ProblemError for a text that no page gave."""
    try:
        return kind.decode(text) if text else None
    except ValueError:
        raise wrong_parameter(
            "after", "is not a cursor of this list: pass `next` of the page before, or leave it out"
        ) from None
