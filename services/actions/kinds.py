"""The kinds of action: what each takes, what it would send, and which are switched on. Loads no data library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ml.enums import ActionKind
from resources.errors import UsageError
from resources.once.acts import Act, Api, act

KINDS: tuple[ActionKind, ...] = get_args(ActionKind)
OF_ACCOUNT = frozenset({"limits"})  # about all SIMs at once, and none in particular


@dataclass(frozen=True)
class Acting:
    """Which actions may be requested, and what is needed to plan them (resources.settings.Settings)."""

    switched_on: frozenset[str] = frozenset()
    to_approve: frozenset[str] = frozenset()
    api: Api = "auto"
    top_up_minor: int | None = None


class ActionError(UsageError):
    """An action cannot be requested, approved or settled; the message says why and what to do."""


class _Nothing(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _TopUp(_Nothing):
    payment_method: Literal["banktransfer", "creditcard", "monthlyinvoice", "boleto"] | None = None


class _AutoTopUp(_Nothing):
    enabled: bool


class _Limits(_Nothing):
    data_limit_id: int | None = Field(None, ge=1, le=10**6)
    sms_mt_limit_id: int | None = Field(None, ge=1, le=10**6)
    sms_mo_limit_id: int | None = Field(None, ge=1, le=10**6)

    @model_validator(mode="after")
    def _some(self) -> _Limits:
        if not self.model_dump(exclude_none=True):
            raise ValueError("give data_limit_id, sms_mt_limit_id or sms_mo_limit_id")
        return self


_PARAMETERS: dict[str, type[BaseModel]] = {"top_up": _TopUp, "auto_top_up": _AutoTopUp, "limits": _Limits}


def checked(kind: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of an action as they are stored. Raises ActionError."""
    try:
        return _PARAMETERS.get(kind, _Nothing).model_validate(dict(parameters)).model_dump(exclude_none=True)
    except ValidationError as error:
        issues = error.errors(include_input=False, include_url=False)
        said = "; ".join(f"{'.'.join(map(str, issue['loc']))} {issue['msg']}".strip() for issue in issues)
        raise ActionError(f"parameters of {kind}: {said}") from None


def may_cost(kind: str, parameters: Mapping[str, Any]) -> bool:
    """Whether an action may spend the price of a top-up: switching auto top-up on may order one at once."""
    return kind == "top_up" or (kind == "auto_top_up" and bool(parameters.get("enabled")))


def would_send(kind: str, api: Api, iccid: str | None, parameters: Mapping[str, Any]) -> Act:
    """The call of an action. Raises ActionError where a SIM is missing or too much, UsageError for a missing call."""
    if (iccid is None) != (kind in OF_ACCOUNT):
        raise ActionError(
            f"{kind} is about {'all SIMs: give none' if kind in OF_ACCOUNT else 'one SIM: give its ICCID'}"
        )
    return act(kind, api, iccid, parameters)


def check_switched_on(kind: str, switched_on: frozenset[str]) -> None:
    """Raise ActionError for a kind that SIMSIGHT_ACTIONS does not name."""
    if kind not in switched_on:
        raise ActionError(
            f"the action {kind} is switched off: name it in SIMSIGHT_ACTIONS to switch it on; a dry run works without"
        )


def refused(outcome: str, iccid: str | None, idempotency_key: str) -> str:
    """Why the database did not take a request; empty where it did."""
    return {
        "unknown-sim": f"no SIM {iccid} is stored",
        "no-price": "what a top-up costs is not known: ingest 1NCE's products, or set SIMSIGHT_TOP_UP_PRICE",
        "taken": f"the idempotency key {idempotency_key!r} stands for another request: choose a new one",
    }.get(outcome, "")


def undecided(outcome: str, action_id: int) -> str:
    """Why a decision was not taken; empty where it was."""
    return {
        "unknown": f"there is no action {action_id}",
        "closed": f"action {action_id} waits for no decision",
        "own": f"action {action_id} is your own request: another API key or person must approve it",
    }.get(outcome, "")
