"""Bulk actions: one act on up to 100,000 things, prepared first and done when it is confirmed.

    bulk = prepare(queries, key, Wanted("resolve-alerts", conditions={"kind": "silent"}), now=now)  # changes nothing
    bulk["things"], bulk["sample"], bulk["phrase"]     # 120, the first ten, "resolve 120 alerts"
    confirm(queries, key, bulk["bulk_id"], phrase="resolve 120 alerts", now=now)

A bulk action keeps which things it is about and how each was. It touches these and no other, whatever comes meanwhile;
where one of them is no longer as it was, nothing is done. It is pending for 15 minutes, for everybody of the
organization.

`queries` is one transaction in which all of it happens: api/writing.py: Writers.bulk gives one to the HTTP service and
to the pages. Functions of the database look at the key and write; each thing gets its line in the audit log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from ml.enums import BulkAction, BulkState
from resources.errors import SimsightError
from services.access.api_keys import Credential, lacks

MAX_THINGS = 100_000
TYPED_ABOVE = 10  # of more things the phrase must be typed
MAX_PENDING = 50  # of an organization
LASTS = timedelta(minutes=15)

Kind = Literal["alerts", "recommendations", "sims"]
Row = dict[str, Any]
# the conditions of each kind of thing; one that is left out holds for all
CONDITIONS: dict[Kind, tuple[str, ...]] = {
    "alerts": ("kind", "severity", "state", "rule_id", "label", "label_prefix", "opened_before"),
    "recommendations": ("recommended", "decision", "min_saving_minor", "label", "label_prefix"),
    "sims": ("status", "state", "country", "label", "label_prefix"),
}
# what is done, and what it is done to in the words of the phrase
ACTIONS: dict[BulkAction, tuple[str, Kind]] = {
    "acknowledge-alerts": ("acknowledge", "alerts"),
    "snooze-alerts": ("snooze", "alerts"),
    "resolve-alerts": ("resolve", "alerts"),
    "reopen-alerts": ("reopen", "alerts"),
    "accept-recommendations": ("accept", "recommendations"),
    "dismiss-recommendations": ("dismiss", "recommendations"),
    "set-labels": ("label", "sims"),
    "remove-labels": ("remove labels of", "sims"),
}
THINGS: dict[Kind, str] = {"alerts": "alerts", "recommendations": "recommendations", "sims": "SIMs"}


class Queries(Protocol):
    """A transaction for the organization of a key; queries by name, as sql/queries has them."""

    def rows(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]: ...


class BulkError(SimsightError):
    """A bulk action was not prepared, confirmed or cancelled; the message says why and what to do.

    outcome  read-only, unknown, nothing, too-many, full, phrase, digest, past, changed, expired, cancelled or done
    changed  of outcome changed: how many things are not as they were
    """

    def __init__(self, outcome: str, message: str, changed: int = 0) -> None:
        super().__init__(message)
        self.outcome, self.changed = outcome, changed


@dataclass(frozen=True)
class Wanted:
    """A bulk action to be prepared.

    ids         numbers of alerts or recommendations, or ICCIDs of 19 digits; None: all that the conditions hold for
    conditions  names as CONDITIONS has them, with their values
    said        note, until (alerts), reason (recommendations), label (SIMs), by (all); what is None is left out
    """

    action: BulkAction
    ids: Sequence[int] | Sequence[str] | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)


def kind_of(action: BulkAction) -> Kind:
    """What an action is done to."""
    return ACTIONS[action][1]


def prepare(queries: Queries, key: Credential, wanted: Wanted, *, now: datetime) -> Row:
    """Keep a bulk action that is to be confirmed; nothing else changes. Returns it as `one` does. Raises BulkError."""
    verb, kind = ACTIONS[wanted.action]
    said = {name: value for name, value in wanted.said.items() if value is not None}
    if "until" in said and said["until"] <= now:
        raise _refused("past")
    conditions = {name: value for name, value in wanted.conditions.items() if value is not None}
    ids = None if wanted.ids is None else list(dict.fromkeys(wanted.ids))
    if ids is not None and len(ids) > MAX_THINGS:
        raise _refused("too-many")
    values = dict.fromkeys(CONDITIONS[kind]) | conditions
    values |= {
        "key_sha256": key.presented,
        "action": wanted.action,
        "chosen": _json(conditions if ids is None else {"ids": len(ids)}),
        "said": _json(said),
        "ids": ids,
        "named": len(ids or ()),
        "phrase": f"{verb} %s {THINGS[kind]}",
        "typed_above": TYPED_ABOVE,
        "most_pending": MAX_PENDING,
        "most": MAX_THINGS + 1,
        "lasts": LASTS,
        "now": now,
    }
    (found,) = queries.rows(f"prepare_bulk_of_{kind}", values)
    if found["outcome"] != "done":
        raise _refused(found["outcome"])
    return one(queries, found["bulk_id"], now=now)


def confirm(
    queries: Queries, key: Credential, bulk_id: int, *, phrase: str = "", digest: bytes | None = None, now: datetime
) -> Row:
    """Do a bulk action, once: confirmed again, it is returned as the first time left it. Raises BulkError.

    phrase  what was typed, where the bulk action has a phrase
    digest  of the set that was looked at, to be held against; None: not held
    """
    values = {"key_sha256": key.presented, "bulk_id": bulk_id, "phrase": phrase, "digest": digest, "now": now}
    (found,) = queries.rows("confirm_bulk", values)
    if found["outcome"] != "done":
        raise _refused(found["outcome"], bulk_id, found["others"] or 0)
    return one(queries, bulk_id, now=now)


def cancel(queries: Queries, key: Credential, bulk_id: int, *, now: datetime) -> Row:
    """End a bulk action that was not confirmed, also one that has expired; again is the same. Raises BulkError."""
    (found,) = queries.rows("cancel_bulk", {"key_sha256": key.presented, "bulk_id": bulk_id, "now": now})
    if found["outcome"] != "cancelled":
        raise _refused(found["outcome"], bulk_id)
    return one(queries, bulk_id, now=now)


def one(queries: Queries, bulk_id: int, *, now: datetime) -> Row:
    """A bulk action with the first ten things of a pending one. Raises BulkError where it is not known.

    things    how many it changes
    left_out  named, and not there or as wanted already
    phrase    what must be typed to confirm it; None: nothing
    sample    rows of id, iccid, label, text; empty where it is over
    Beside these bulk_id, action, state (pending, expired, done, cancelled), chosen, said, digest (hexadecimal),
    prepared_by, prepared_at, expires_at, ended_by, ended_at.
    """
    found = queries.rows("bulk_actions", listing(now=now, bulk_id=bulk_id, rows=1))
    if not found:
        raise _refused("unknown", bulk_id)
    (bulk,) = found
    things = bulk.pop("first_things")
    name = f"bulk_sample_of_{kind_of(bulk['action'])}"
    return bulk | {"sample": queries.rows(name, {"things": things}) if things and bulk["state"] == "pending" else []}


def listing(
    *, now: datetime, state: BulkState | None = None, before: int | None = None, rows: int, bulk_id: int | None = None
) -> dict[str, Any]:
    """The parameters of the query bulk_actions, which lists them, the newest first, below a number."""
    return {"bulk_id": bulk_id, "state": state, "before": before, "rows": rows, "now": now}


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, default=lambda value: value.isoformat())


def _refused(outcome: str, bulk_id: int = 0, changed: int = 0) -> BulkError:
    again = "prepare it anew and look at what it would change"
    messages = {
        "read-only": lacks("alerts"),
        "unknown": f"There is no bulk action {bulk_id} in this organization. GET /v1/bulk-actions lists those there "
        "are.",
        "nothing": "There is nothing that this would change: no such thing is there, or all are so already.",
        "too-many": f"That is more than {MAX_THINGS:,} things: choose fewer, by more conditions.",
        "full": f"{MAX_PENDING} bulk actions are pending: confirm or cancel some first.",
        "phrase": f"Bulk action {bulk_id} is done when its phrase is typed exactly as its field `phrase` has it.",
        "digest": f"That is not the digest of bulk action {bulk_id}: {again}.",
        "past": "The end of the snooze is past: choose one that is to come.",
        "changed": f"{changed:,} of the things of bulk action {bulk_id} are gone, were changed since it was prepared, "
        f"or are being changed right now. Nothing was done: {again}.",
        "expired": f"Bulk action {bulk_id} has expired: {again}.",
        "cancelled": f"Bulk action {bulk_id} was cancelled.",
        "done": f"Bulk action {bulk_id} is done already.",
    }
    return BulkError(outcome, messages[outcome], changed)
