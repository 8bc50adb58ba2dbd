"""Secrets of the settings that stand in files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from resources.errors import UsageError

FILE = "_FILE"


class SecretFiles(PydanticBaseSettingsSource):
    """Secrets from files: for a secret of the variable NAME, NAME_FILE is the path of a file that holds it.

    Where NAME is set as well, it wins.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False  # all are read at once below

    def __call__(self) -> dict[str, Any]:
        env_file = self.current_state.get("env_file", self.config.get("env_file"))
        given = _variables(str(env_file) if env_file else None)
        found = {}
        for field, about in self.settings_cls.model_fields.items():
            if not holds_secret(about.annotation):
                continue
            name = variable_of(field)
            path = given.get(f"{name}{FILE}")
            if not path or given.get(name):  # a command gives its children the secrets themselves
                continue
            try:
                found[field] = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(f"{name}{FILE}: {path} cannot be read ({type(error).__name__})") from None
        return {field: secret for field, secret in found.items() if secret}


def _variables(env_file: str | None) -> dict[str, str | None]:
    """The variables of .env and of the environment, which wins, by their names in capitals."""
    from dotenv import dotenv_values

    named = dotenv_values(env_file, interpolate=False) if env_file else {}
    return {name.upper(): value for source in (named, os.environ) for name, value in source.items()}


def variable_of(field: str) -> str:
    """The environment variable of a field of Settings."""
    return field.upper() if field.lower().startswith("once_") else f"SIMSIGHT_{field.upper()}"


def holds_secret(kind: Any) -> bool:
    """Whether a field of this type holds a secret."""
    return kind is SecretStr or any(map(holds_secret, get_args(kind)))
