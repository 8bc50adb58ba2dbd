"""Settings that an organization may have of its own (ops.organization_settings), in the place of the deployment's.

A secret is not kept there: its value says where it is, as env:NAME or file:/path.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from resources.errors import UsageError
from resources.secret_files import variable_of
from resources.settings import Settings, SettingsError

# the account; how it is asked; what is kept; what things cost and when to warn. Not what the HTTP service reads too,
# nor what is the same for the whole database
OWN = [
    "once_base_url",
    "once_username",
    "once_password",
    "once_requests_per_second",
    "ingest_minutes",
    "stream_files",
    "raw_days",
    "report_days",
    "monthly_limit_mb",
    "quota_share",
    "false_alarms",
    "deactivated_days",
    "churn_high",
    "churn_medium",
    "prices",
    "outage_day",
    "handling",
    "swap_work",
    "sim_mb",
    "sim_months",
    "month_budget",
    "outage_limit",
    "actions_sims_per_hour",
    "actions_money_per_day",
]
ACCOUNT = ("once_username", "once_password")
# these of the environment belong to the organization of the environment: no other one may work with them
ITS_OWN_ALONE = (*ACCOUNT, "stream_files")


def check_setting(settings: Settings, variable: str, value: str) -> None:
    """Raise UsageError where a setting cannot be an organization's own, or cannot have this value."""
    field = _field_of(variable)
    if field in ACCOUNT:
        kind, _, where = value.partition(":")
        if kind not in ("env", "file") or not where or (kind == "file" and not Path(where).is_absolute()):
            raise UsageError(
                f"{variable} is kept by reference: say env:NAME of an environment variable, or file:/path of a file"
            )
        return
    _assign(settings.model_copy(), field, value)


def own_settings(settings: Settings, organization: str, own: Mapping[str, str]) -> Settings:
    """The settings that an organization works with: those of the deployment, and over them its own.

    A secret that is not where it should be is told when the account is asked for: what needs no account still runs.
    Raises SettingsError for a value that is not one, such as one of an older version.
    """
    made = settings.model_copy(update={"organization": organization})
    if organization != settings.organization:
        made = made.model_copy(update=dict.fromkeys(ITS_OWN_ALONE))
        made.set_apart()
    for variable, value in own.items():
        field = _field_of(variable)
        if field not in ACCOUNT:
            _assign(made, field, value)
            continue
        try:
            _assign(made, field, _secret(value))
        except (OSError, UnicodeDecodeError, KeyError) as error:
            made = made.model_copy(update={field: None})
            made.say_missing(
                f"{variable} of the organization {organization} is not at {value} ({type(error).__name__})"
            )
    return made


def _secret(reference: str) -> str:
    """The secret behind a reference. Raises KeyError and OSError where it is not there."""
    kind, _, where = reference.partition(":")
    found = os.environ[where] if kind == "env" else Path(where).read_text(encoding="utf-8").strip()
    if not found:
        raise KeyError(where)
    return found


def _field_of(variable: str) -> str:
    fields = {variable_of(field): field for field in OWN}
    if variable not in fields:
        raise UsageError(f"{variable} is no setting of one organization; these can be: {', '.join(sorted(fields))}")
    return fields[variable]


def _assign(settings: Settings, field: str, value: str) -> None:
    """Set a field of the settings in place, checked as one of the environment is."""
    try:
        Settings.__pydantic_validator__.validate_assignment(settings, field, value)
    except ValidationError as error:
        said = error.errors(include_input=False, include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{variable_of(field)} of {settings.organization}: {said}") from None
