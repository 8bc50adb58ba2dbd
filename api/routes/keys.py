"""Keys and the organization, for administrators."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Response

from api.answers import answer
from api.dependencies import AdminCaller, AskingAsAdmin, WriteAccess
from api.errors import PROBLEMS, ProblemError, problems
from api.schemas.keys import Key, KeyList, MadeKey, NewKey, Organization, OrganizationList, RotatedKey, Rotation
from services.access.api_keys import (
    MAX_NAME,
    ApiKeyError,
    Scope,
    checked_name,
    checked_networks,
    checked_scopes,
    key_sha256,
    lacks,
    new_key,
    not_rotated,
    refused,
)

router = APIRouter(tags=["access"])
KeyName = Annotated[
    str, Path(max_length=MAX_NAME, pattern=r"^[^\x00]+$", description="Name of the key", examples=["dashboard"])
]
NOT_ADMIN = lacks("admin")


@router.get("/v1/keys", summary="API keys", response_model=KeyList, responses=PROBLEMS)
async def list_keys(asking: AskingAsAdmin) -> Response:
    """All keys of the organization, oldest first, with expired and revoked ones; never the keys themselves."""
    rows = await asking.rows("api_keys", {})
    return answer({"items": [Key.model_validate(row).model_dump() for row in rows]})


@router.post(
    "/v1/keys", summary="Make an API key", status_code=201, responses=problems(400, 401, 403, 409, 413, 422, 503)
)
def create_key(caller: AdminCaller, new: NewKey) -> MadeKey:
    """Make a key for the organization and show it this once. A key gives no scope that it has not itself."""
    key = new_key()
    try:
        name, scopes, networks = checked_name(new.name), checked_scopes(new.scopes), checked_networks(new.networks)
    except ApiKeyError as error:
        raise ProblemError(422, f"{error}.") from None
    _check_grants(caller, scopes)
    expires_at = caller.present + timedelta(days=new.days) if new.days else None
    values = {"name": name, "key_sha256": key_sha256(key), "scopes": scopes, "networks": networks}
    times = {"expires_at": expires_at, "now": caller.present}
    outcome = caller.writers.change_key("api_create_key", caller.key, values | times)["outcome"]
    _check_outcome(outcome, scopes)
    if problem := refused(outcome, name, expires_at):
        raise ProblemError(409, f"{problem}.")
    return MadeKey.model_validate({"key": key, **values, **times})


@router.post(
    "/v1/keys/{name}/rotate",
    summary="Give an API key a successor",
    responses=problems(400, 401, 403, 404, 409, 413, 422, 503),
)
def rotate_key(caller: AdminCaller, name: KeyName, rotation: Rotation | None = None) -> RotatedKey:
    """Make a key of the same name, scopes, networks and lifetime and show it this once. The old one works on for the
    overlap. A key rotates none that has a scope which it has not itself."""
    key, overlap = new_key(), timedelta(hours=(rotation or Rotation()).overlap_hours)
    granted = sorted(caller.store.allowed(caller.key))
    values = {"name": name, "key_sha256": key_sha256(key), "overlap": overlap, "granted": granted}
    found = caller.writers.change_key("api_rotate_key", caller.key, values | {"now": caller.present})
    beyond = [scope for scope in found["scopes"] or [] if scope not in granted]
    _check_outcome(found["outcome"], beyond or granted)
    if problem := not_rotated(found["outcome"], name):
        raise ProblemError(404 if found["outcome"] == "unknown" else 409, f"{problem}.")
    return RotatedKey.model_validate({"key": key, "name": name, **found})


@router.post(
    "/v1/keys/{name}/revoke",
    summary="Revoke an API key",
    status_code=204,
    response_class=Response,
    responses=problems(401, 403, 404, 422, 503),
)
def revoke_key(caller: AdminCaller, name: KeyName) -> None:
    """Make the key stop working at once, and with it old ones of its name that still work."""
    outcome = caller.writers.change_key("api_revoke_key", caller.key, {"name": name})["outcome"]
    _check_outcome(outcome, [])
    if outcome != "done":
        raise ProblemError(404, f"There is no API key named {name!r} to revoke. GET /v1/keys lists those there are.")


@router.get("/v1/organizations", summary="Organizations", response_model=OrganizationList, responses=PROBLEMS)
async def list_organizations(asking: AskingAsAdmin) -> Response:
    """The organizations that the key opens: exactly one."""
    rows = await asking.rows("api_organizations", {})
    return answer({"items": [Organization.model_validate(row).model_dump() for row in rows]})


def _check_grants(caller: WriteAccess, scopes: list[Scope]) -> None:
    allowed = caller.store.allowed(caller.key)
    for scope in scopes:
        if scope not in allowed:
            raise ProblemError(403, f"A key gives no scope that it has not itself. {lacks(scope)}")


def _check_outcome(outcome: str, scopes: list[str] | list[Scope]) -> None:
    """Answer 403 where the database says that the key may not do this."""
    if outcome == "not-admin":
        raise ProblemError(403, NOT_ADMIN)
    if outcome == "beyond":
        raise ProblemError(403, f"A key gives no scope that it has not itself, here of {', '.join(scopes)}.")
