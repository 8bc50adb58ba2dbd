"""Settings from the environment and .env: defaults, refusals that name the variable, and no secret told."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.errors import UsageError
from resources.runtime import Runtime
from resources.settings import Settings, SettingsError, load_settings
from resources.variables import secret_fields, unknown_variables

EXAMPLE = Path(__file__).parents[2] / ".env.example"
SECRET = "hunter2"
SECRETS = {
    "SIMSIGHT_DATABASE_URL": f"postgresql://simsight:{SECRET}@db.example:5432/simsight",
    "SIMSIGHT_FREE_SQL": f"postgresql://reader:{SECRET}@db.example:5432/simsight",
    "SIMSIGHT_API_DATABASE_URL": f"postgresql://api:{SECRET}@db.example:5432/simsight",
    "SIMSIGHT_READ_DATABASE_URL": f"postgresql://api:{SECRET}@replica.example:5432/simsight",
    "SIMSIGHT_DAGSTER_DATABASE_URL": f"postgresql://dagster:{SECRET}@db.example:5432/dagster",
    "SIMSIGHT_MLFLOW_TRACKING_URI": f"postgresql://mlflow:{SECRET}@db.example:5432/mlflow",
    "SIMSIGHT_API_LIMIT_STORE": f"redis://:{SECRET}@cache.example:6379/0",
    "SIMSIGHT_CELERY_BROKER_URL": f"redis://:{SECRET}@cache.example:6379/1",
    "SIMSIGHT_OIDC_SECRET": SECRET,
    "ONCE_PASSWORD": SECRET,
    "SIMSIGHT_LLM_API_KEY": SECRET,
    "SIMSIGHT_API_METRICS_TOKEN": SECRET * 5,
}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours and no .env."""
    for name in os.environ:
        if name.startswith(("SIMSIGHT_", "ONCE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def variable(field: str) -> str:
    return field.upper() if field.startswith("once_") else f"SIMSIGHT_{field.upper()}"


def test_nothing_is_required() -> None:
    settings = load_settings()
    assert settings.database_url is None
    assert settings.organization == "default"
    assert settings.once_requests_per_second == 10


def test_the_example_lists_every_setting_with_its_meaning_and_default_all_commented_out() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line and not line.startswith("#")] == []
    listed = re.findall(r"^# (.+)\n#([A-Z_]+)=(.*)$", text, re.MULTILINE)
    expected = {}
    for name, field in Settings.model_fields.items():
        default = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
        expected[variable(name)] = (field.description, "" if field.default is None else default)
    assert {name: (meaning, default) for meaning, name, default in listed} == expected
    assert len(listed) == len(expected)


def test_the_example_without_its_comment_signs_says_the_same_as_nothing_at_all() -> None:
    Path(".env").write_text(re.sub(r"^#(?=[A-Z])", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert load_settings() == Settings(_env_file=None)


def test_the_environment_goes_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("SIMSIGHT_SEED=1\nONCE_USERNAME=from-file\n")
    monkeypatch.setenv("SIMSIGHT_SEED", "2")
    settings = load_settings()
    assert (settings.seed, settings.once_username) == (2, "from-file")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("SIMSIGHT_LATENESS_DAYS", "8", "less than or equal to 7"),
        ("SIMSIGHT_SEED", "seven", "integer"),
        ("SIMSIGHT_ORGANIZATION", "Has Spaces", "pattern"),
        ("SIMSIGHT_FIRST_DAY", "yesterday", "date"),
        ("SIMSIGHT_NOW", "noon", "datetime"),
        ("SIMSIGHT_API_PORT", "0", "greater than or equal to 1"),
        ("SIMSIGHT_QUOTA_SHARE", "80", "less than or equal to 1"),
        ("SIMSIGHT_SCHEDULES", "perhaps", "boolean"),
        ("ONCE_REQUESTS_PER_SECOND", "0", "greater than 0"),
    ],
)
def test_a_wrong_value_is_refused_with_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=rf"^{name}: .*{told}.* \.env\.example") as refused:
        load_settings()
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_all_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMSIGHT_SEED", "seven")
    monkeypatch.setenv("ONCE_UNLIMITED", "perhaps")
    with pytest.raises(SettingsError, match=r"ONCE_UNLIMITED: .*; SIMSIGHT_SEED: "):
        load_settings()


@pytest.mark.parametrize("name", [name for name in SECRETS if name.endswith("DATABASE_URL")])
@pytest.mark.parametrize("value", [f"mysql://u:{SECRET}@h/db", f"postgresql://u:{SECRET}@h:port/db", SECRET])
def test_a_wrong_database_url_is_refused_without_being_told(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=rf"^{name}: must look like postgresql://") as refused:
        load_settings()
    assert SECRET not in str(refused.value)
    with pytest.raises(ValueError, match=r"must look like") as raw:
        Settings()
    assert SECRET not in str(raw.value)


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.once_password is not None
    assert settings.once_password.get_secret_value() == SECRET
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert SECRET not in shown


def test_every_setting_that_may_hold_a_password_is_a_secret() -> None:
    held = {variable(name) for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)}
    assert held == set(SECRETS)


def test_a_pretended_time_without_a_zone_is_utc_and_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMSIGHT_NOW", "2026-03-12T10:00:00")
    assert load_settings().clock() == datetime(2026, 3, 12, 10, tzinfo=UTC)
    monkeypatch.setenv("SIMSIGHT_NOW", "2026-03-12T10:00:00+02:00")
    clock = load_settings().clock
    assert clock() == clock() == datetime(2026, 3, 12, 8, tzinfo=UTC)
    assert clock().tzinfo is UTC


@pytest.mark.parametrize(("lateness", "day"), [("0", 11), ("1", 10), ("7", 4)])
def test_the_last_complete_day_waits_for_late_usage(monkeypatch: pytest.MonkeyPatch, lateness: str, day: int) -> None:
    monkeypatch.setenv("SIMSIGHT_NOW", "2026-03-12T00:30:00Z")
    monkeypatch.setenv("SIMSIGHT_LATENESS_DAYS", lateness)
    assert Runtime(load_settings()).last_complete_day().isoformat() == f"2026-03-{day:02d}"


@pytest.mark.parametrize(
    ("url", "note"),
    [
        ("https://api.1nce.com/management-api", ""),
        ("http://127.0.0.1:8099/management-api", "synthetic data"),
        ("http://localhost:8099", "synthetic data"),
        ("http://[::1]:8099", "synthetic data"),
        ("https://localhost.example.com", ""),
    ],
)
def test_an_account_on_this_machine_is_called_synthetic(monkeypatch: pytest.MonkeyPatch, url: str, note: str) -> None:
    monkeypatch.setenv("ONCE_BASE_URL", url)
    assert load_settings().account_note == note


def test_a_missing_account_is_told_with_both_variables_and_the_way_round() -> None:
    with pytest.raises(SettingsError, match=r"ONCE_USERNAME and ONCE_PASSWORD.*simsight demo"):
        Runtime(load_settings()).once()


@pytest.mark.parametrize("wrong", ["ONCE_USERNAME", "ONCE_PASSWORD"])
def test_half_an_account_is_a_problem(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    assert load_settings().account_problem == ""
    monkeypatch.setenv(wrong, SECRET)
    problem = load_settings().account_problem
    assert problem.startswith(f"{wrong} is set")
    assert SECRET not in problem
    with pytest.raises(SettingsError, match=f"{wrong} is set"):
        Runtime(load_settings()).once()
    monkeypatch.setenv("ONCE_USERNAME", "user")
    monkeypatch.setenv("ONCE_PASSWORD", SECRET)
    assert load_settings().account_problem == ""


def test_a_misspelt_variable_is_found_with_the_nearest_name() -> None:
    Path(".env").write_text("ONCE_PASWORD=hunter2\nMAIL_URL=x\nSIMSIGHT_SEED=1\n")
    found = unknown_variables(["SIMSIGHT_LATENES_DAYS", "SIMSIGHT_XYZZY", "SIMSIGHT_COMMIT", "simsight_seed", "PATH"])
    assert found == {
        "ONCE_PASWORD": "ONCE_PASSWORD",
        "SIMSIGHT_LATENES_DAYS": "SIMSIGHT_LATENESS_DAYS",
        "SIMSIGHT_XYZZY": None,
    }


def test_every_secret_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert {variable(field) for field in secret_fields()} == SECRETS.keys()
    for name, value in SECRETS.items():
        (tmp_path / name).write_text(f"{value}\n")
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    monkeypatch.delenv("ONCE_PASSWORD_FILE")
    Path(".env").write_text(f"ONCE_PASSWORD_FILE={tmp_path / 'ONCE_PASSWORD'}\n")

    settings = load_settings()

    told = {variable(field): getattr(settings, field).get_secret_value() for field in secret_fields()}
    assert told == SECRETS
    assert unknown_variables(os.environ) == {}


def test_a_file_of_a_secret_that_is_gone_is_named_and_the_variable_itself_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ONCE_PASSWORD_FILE", str(tmp_path / "gone"))
    with pytest.raises(UsageError, match=r"ONCE_PASSWORD_FILE: .*gone cannot be read \(FileNotFoundError\)"):
        load_settings()
    monkeypatch.setenv("ONCE_PASSWORD", SECRET)
    password = load_settings().once_password
    assert password is not None
    assert password.get_secret_value() == SECRET
