"""Whether the service works."""

from __future__ import annotations

from fastapi import APIRouter, Request

from api.database import SchemaOutdatedError, Store
from api.dependencies import KnownParameters
from api.errors import problems
from api.schemas.common import Health
from sql import migrations

router = APIRouter()


@router.get(
    "/health",
    tags=["service"],
    summary="Whether the service and its database work",
    dependencies=[KnownParameters],
    responses=problems(422, 503),
)
def health(request: Request) -> Health:
    """Needs no key. 503 when the database is away or its schema is older than this service."""
    store: Store = request.app.state.store
    version, needed = store.schema_version(), migrations()[-1].version
    if version < needed:
        raise SchemaOutdatedError(f"the schema is at version {version}, version {needed} is needed")
    return Health(status="ok", schema_version=version)
