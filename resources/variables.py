"""Variables of the environment and of .env: which are settings, which are secret, and which look like a slip."""

import difflib
from collections.abc import Iterable

from resources.secret_files import FILE, holds_secret, variable_of
from resources.settings import ENV_FILE, Settings

# variables that are read and are no settings; the tests' own begin with SIMSIGHT_TEST_ and SIMSIGHT_CI_
OTHER_VARIABLES = frozenset(
    {"SIMSIGHT_COMMIT", "SIMSIGHT_DAGSTER_FOLDER", "SIMSIGHT_STREAM_SECRET", "SIMSIGHT_OPENAPI_DIR"}
)


def secret_fields() -> list[str]:
    """The fields of Settings that hold secrets."""
    return [name for name, field in Settings.model_fields.items() if holds_secret(field.annotation)]


def unknown_variables(environ: Iterable[str]) -> dict[str, str | None]:
    """Variables of the environment and .env that look like settings and are none, each with the nearest that is one.

    environ   names of variables; their values are not looked at
    """
    from dotenv import dotenv_values

    known = {*map(variable_of, Settings.model_fields), *OTHER_VARIABLES}
    known |= {f"{variable_of(field)}{FILE}" for field in secret_fields()}
    names = {*environ, *dotenv_values(ENV_FILE, interpolate=False)}
    return {
        name: next(iter(difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.75)), None)
        for name in sorted(names)
        if name.upper().startswith(("SIMSIGHT_", "ONCE_"))
        and name.upper() not in known
        and not name.upper().startswith(("SIMSIGHT_TEST_", "SIMSIGHT_CI_"))
    }
