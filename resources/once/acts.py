"""The calls to 1NCE that change something: they cost money or cut devices off, so each is sent once and never repeated.

1NCE takes no idempotency key, and the same POST twice books twice. Pure: what a call looks like, and what an answer
says about whether it had its effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from resources.errors import UsageError
from resources.once.values import check_iccid

Version = Literal["v1", "v2"]
Api = Literal["auto", "v1", "v2"]

# what changes something, by version of the API: method and path. Of Platform 2.0 v2 alone knows the SIMs
ACTS: dict[str, dict[Version, tuple[str, str]]] = {
    "top_up": {"v2": ("POST", "/v2/sims/{iccid}/topup"), "v1": ("POST", "/v1/sims/{iccid}/topup")},
    "auto_top_up": {"v1": ("POST", "/v1/sims/autoTopup")},
    "reset": {"v2": ("POST", "/v2/sims/{iccid}/reset"), "v1": ("POST", "/v1/sims/{iccid}/reset")},
    "disable": {"v2": ("PUT", "/v2/sims/{iccid}"), "v1": ("PUT", "/v1/sims/{iccid}")},
    "enable": {"v2": ("PUT", "/v2/sims/{iccid}"), "v1": ("PUT", "/v1/sims/{iccid}")},
    "limits": {"v1": ("POST", "/v1/sims/limits")},
}
STATUS_SET = {"disable": "Disabled", "enable": "Enabled"}
LIMIT_IDS = {"data_limit_id": "dataLimitId", "sms_mt_limit_id": "smsMtLimitId", "sms_mo_limit_id": "smsMoLimitId"}


@dataclass(frozen=True)
class Act:
    """One call that changes something: what goes over the wire, but for the token."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None


class Outcome(NamedTuple):
    """What became of an act.

    effect   yes: 1NCE took it; no: 1NCE refused it; not sent: it can be sent later; unknown: nobody can tell
    order    number of the order that it made, if any
    said     why, for people
    """

    effect: Literal["yes", "no", "not sent", "unknown"]
    order: int | None
    said: str


def act(
    kind: str, api: Api, iccid: str | None, parameters: Mapping[str, Any], known: Mapping[str, Any] | None = None
) -> Act:
    """The call for an action, in the newest version that has it.

    kind        one of ACTS
    api         the setting ONCE_API
    parameters  those of the kind (services.actions.kinds)
    known       of a SIM whose status is set: its label and imei_lock, which the same call would else set anew
    Raises UsageError where the setting leaves no version that has the call, ValueError for a wrong ICCID.
    """
    versions = ACTS[kind]
    version: Version | None = next((v for v in versions if api in ("auto", v)), None)
    if version is None:
        raise UsageError(f"ONCE_API={api}: API {api} has no call for {kind.replace('_', ' ')}; set ONCE_API=auto")
    method, path = versions[version]
    if iccid is not None:
        path = path.replace("{iccid}", check_iccid(iccid))
    match kind:
        case "top_up":
            payment = parameters.get("payment_method")
            return Act(method, path, {"payment_method": payment} if payment else {})
        case "auto_top_up":
            return Act(method, path, body={"enabled": parameters["enabled"], "iccids": [iccid]})
        case "limits":
            return Act(method, path, body={LIMIT_IDS[name]: value for name, value in parameters.items()})
        case "disable" | "enable":
            return Act(method, path, body={"iccid": iccid, "status": STATUS_SET[kind], **(known or {})})
        case _:
            return Act(method, path)


def outcome_of(status: int, location: str, said: str) -> Outcome:
    """What an answer says. A 4xx refuses; of anything else but 2xx nobody knows what happened behind it."""
    if 200 <= status < 300:
        number = location.rstrip("/").rpartition("/")[2]
        order = int(number) if number.isascii() and number.isdecimal() and len(number) < 19 else None
        return Outcome("yes", order, "")
    what = f"HTTP {status}: {' '.join(said.split())[:200] or '(nothing)'}"
    if status == 429:
        return Outcome("not sent", None, what)
    if 300 <= status < 500 and status != 408:
        return Outcome("no", None, what)
    return Outcome("unknown", None, what)
