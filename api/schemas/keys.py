"""Keys and organizations, as administrators see them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from services.access.api_keys import MAX_NAME, MAX_NETWORKS, MAX_OVERLAP, Scope

Name = Annotated[str, Field(pattern=r"^[^\x00]*$", min_length=1, max_length=MAX_NAME)]


class Key(BaseModel):
    """What is known of a key; never the key itself."""

    key_id: int
    name: str
    scopes: list[Scope]
    networks: list[str] = Field(description="Where it may be used from; empty: everywhere")
    for_tokens: bool = Field(description="Whether it stands for the tokens of the identity provider")
    created_at: datetime
    expires_at: datetime | None
    rotated_at: datetime | None = Field(description="Since when another key of its name takes its place")
    revoked_at: datetime | None
    live: bool = Field(description="Whether it works now")


class KeyList(BaseModel):
    items: list[Key]


class NewKey(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name = Field(description="What it is for; unique among the live keys", examples=["dashboard"])
    scopes: list[Scope] = Field(["read"], min_length=1, max_length=4, description="What it may do", examples=[["read"]])
    networks: list[str] = Field(
        [],
        max_length=MAX_NETWORKS,
        description="Where it may be used from; none: everywhere",
        examples=[["10.0.0.0/8"]],
    )
    days: int | None = Field(None, ge=1, le=3650, strict=True, description="Valid for so many days; none: for ever")


class MadeKey(BaseModel):
    """A key, shown this once."""

    key: str
    name: str
    scopes: list[Scope]
    networks: list[str]
    expires_at: datetime | None


class Rotation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    overlap_hours: int = Field(
        24,
        ge=0,
        le=MAX_OVERLAP.days * 24,
        strict=True,
        description="Hours that the old key works on beside the new one",
        examples=[24],
    )


class RotatedKey(BaseModel):
    """The new key, shown this once; the old one works until `old_until`."""

    key: str
    name: str
    scopes: list[Scope]
    expires_at: datetime | None
    old_until: datetime


class Organization(BaseModel):
    slug: str
    data_note: str
    created_at: datetime
    sims: int


class OrganizationList(BaseModel):
    items: list[Organization]
