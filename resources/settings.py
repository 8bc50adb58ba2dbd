"""Every setting in one typed place, read from the environment or from .env."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from resources.errors import UsageError
from resources.secret_files import SecretFiles, variable_of
from resources.setting_types import (
    Actions,
    InUtc,
    PostgresUrl,
    PostgresUrls,
    PredictionDays,
    RedisUrl,
    UsageDays,
    names_of,
)

SYNTHETIC = "synthetic data"
ENV_FILE = ".env"


class SettingsError(UsageError):
    """A setting is missing or wrong; the message names it and says how to fix it."""


class Settings(BaseSettings):
    """Settings of the whole pipeline. Variables are prefixed SIMSIGHT_, except the 1NCE account's ONCE_*.

    A secret may stand in a file that the variable with _FILE at its end names.

    Nothing is required: without a database URL an embedded PostgreSQL lives under `home`; without a 1NCE account
    only the demo and the simulator have something to ingest.
    """

    model_config = SettingsConfigDict(
        env_prefix="SIMSIGHT_",
        env_file=ENV_FILE,
        extra="ignore",
        env_ignore_empty=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, dotenv_settings, SecretFiles(settings_cls)

    home: Path = Field(
        Path(".simsight"), description="Folder of the embedded server, artifacts, reports and landing files"
    )
    database_url: PostgresUrl | None = Field(
        None, description="postgresql:// URL of the server; embedded PostgreSQL if unset"
    )
    api_database_url: PostgresUrl | None = Field(
        None, description="URL the HTTP service connects with (a login in role simsight_api); database_url if unset"
    )
    read_database_url: PostgresUrl | None = Field(
        None,
        description="URL of a replica that answers what the HTTP service's clients read, by a login as that of "
        "api_database_url; the primary answers if unset",
    )
    read_lag_seconds: float = Field(
        60.0, ge=0, description="Seconds that this replica may be behind; the primary answers while it is behind more"
    )
    dagster_database_url: PostgresUrl | None = Field(
        None, description="URL of Dagster's own database; database 'dagster' of the same server if unset"
    )
    mlflow_tracking_uri: SecretStr | None = Field(
        None, description="MLflow tracking and registry store; database 'mlflow' of the same server if unset"
    )
    mlflow_artifacts: str | None = Field(
        None, description="Where MLflow keeps artifacts (a folder or object store URI); home/mlflow if unset"
    )
    backups: Path | None = Field(
        None,
        description="Folder of backups, best on another disk; the embedded server copies its write-ahead log there, so "
        "that any time can be restored. None are made if unset",
    )
    backup_chains: int = Field(
        3, ge=1, description="Full backups that are kept, each with the incremental ones and the log after it"
    )
    organization: str = Field(
        "default", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="Organization the pipeline works for"
    )

    once_base_url: str = Field(
        "https://api.1nce.com/management-api",
        validation_alias=AliasChoices("ONCE_BASE_URL", "once_base_url"),
        description="Base URL of the 1NCE API",
    )
    once_username: str | None = Field(
        None,
        validation_alias=AliasChoices("ONCE_USERNAME", "once_username"),
        description="User name of a 1NCE API user",
    )
    once_password: SecretStr | None = Field(
        None, validation_alias=AliasChoices("ONCE_PASSWORD", "once_password"), description="Password of that API user"
    )
    once_api: Literal["auto", "v1", "v2"] = Field(
        "auto",
        validation_alias=AliasChoices("ONCE_API", "once_api"),
        description="Version of the API: auto asks v2 for what it has and v1 for the rest, v1 and v2 that one alone",
    )
    once_requests_per_second: float | None = Field(
        10.0,
        gt=0,
        validation_alias=AliasChoices("ONCE_REQUESTS_PER_SECOND", "once_requests_per_second"),
        description="Request budget for calls about SIMs; 1NCE allows 10 for one customer",
    )
    once_unlimited: bool = Field(
        False,
        validation_alias=AliasChoices("ONCE_UNLIMITED", "once_unlimited"),
        description="Send requests without pacing; only for a simulator whose own limit is lifted",
    )

    ingest_minutes: float = Field(
        50.0,
        gt=0,
        description="Minutes an hourly ingest may ask 1NCE; SIMs that do not fit in wait for the next, the most "
        "urgent first",
    )
    stream_files: str | None = Field(
        None,
        description="Folder or bucket (s3://bucket/prefix, with AWS_* variables) that the Data Streamer's records "
        "come to as files",
    )

    first_day: date = Field(
        date(2025, 1, 1),
        description="First day of usage that may be asked for; if unset, the Dagster UI begins with the first day "
        "that was",
    )
    first_as_of: date | None = Field(
        None,
        description="First as-of day of the predictions in the Dagster UI; the first there is if unset, and an "
        "earlier one to fill in the past",
    )
    now: InUtc | None = Field(
        None, description="Pretend that it is this time (ISO 8601, UTC if no zone); the system clock if unset"
    )
    lateness_days: int = Field(1, ge=0, le=7, description="Days after its end until a usage day counts as complete")
    recompute_days: int = Field(
        35, ge=0, description="Days back for which predictions that a late correction made stale are computed again"
    )
    block_sims: int = Field(
        25_000, ge=1, description="SIMs that are scored together: the unit of memory, of retry and of distribution"
    )
    raw_days: int = Field(30, ge=1, description="Days that answers and files are kept as they came")
    usage_days: UsageDays | None = Field(
        None,
        description="Days that usage, quotas, connections, events and SMS are kept, at least 730, as models read so "
        "many; all if unset",
    )
    prediction_days: PredictionDays | None = Field(
        None,
        description="Days that forecasts, dates of exhaustion and churn risks are kept, at least 100; all if unset",
    )
    report_days: int = Field(400, ge=1, description="Days that reports of a period are kept")
    run_days: int = Field(
        180, ge=7, description="Days that Dagster's runs with their events, and MLflow's runs of no version, are kept"
    )
    compress_days: int = Field(
        45, ge=7, description="Days after which daily rows are compressed, on TimescaleDB Community"
    )
    executor: Literal["multiprocess", "in_process", "celery", "k8s"] = Field(
        "multiprocess",
        description="How the steps of a run are executed: multiprocess each in a process of its own, in_process all in "
        "one, celery by workers on any machines (extra celery), k8s each in a pod (extra k8s)",
    )
    celery_broker_url: RedisUrl | None = Field(
        None, description="redis:// URL where runs and workers meet, with the password; needed for celery"
    )
    celery_visibility_seconds: int = Field(
        600,
        ge=5,
        description="Seconds after which a step is handed out again whose worker has not said that it is done; best "
        "above the longest block",
    )
    schedules: bool = Field(
        False, description="Start schedules and sensors switched on; else switch them on in the Dagster UI"
    )
    seed: int = Field(7, description="Seed of everything random")
    log_format: Literal["text", "json"] = Field(
        "text", description="Log lines as text for people, or as one JSON object a line for programs"
    )

    monthly_limit_mb: float | None = Field(
        None, gt=0, description="Monthly data limit in MB that the 1NCE account sets for all its SIMs; none if unset"
    )
    exhaustion_probability: float = Field(
        0.5, gt=0, lt=1, description="Alert when a SIM will run out within 14 days with at least this probability"
    )
    quota_share: float = Field(0.8, gt=0, le=1, description="Alert when this share of a SIM's quota is used")
    false_alarms: float = Field(
        1.0, gt=0, le=100, description="Anomalies: of 1,000 SIM-days with nothing wrong, at most so many are flagged"
    )
    deactivated_days: int = Field(
        30,
        ge=1,
        description="A SIM that is off (Disabled, or not in the SIM list) for more days than this is taken for "
        "deactivated",
    )
    churn_high: float = Field(
        0.7,
        ge=0,
        le=1,
        description="Churn: a SIM that leaves within 90 days with at least this probability is at high risk",
    )
    churn_medium: float = Field(
        0.4, ge=0, le=1, description="Churn: with at least this probability it is at medium risk"
    )
    churn_holdout: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Churn: share of SIMs for which nothing is to be done, so that the effect of actions can be "
        "measured, such as 0.05",
    )

    actions: Actions = Field(
        "",
        description="Actions that may be sent to 1NCE, of top_up, auto_top_up, reset, disable, enable and limits, with "
        "commas; none if unset",
    )
    actions_approval: Actions = Field(
        "", description="Actions that a second API key or person must approve, with commas; none if unset"
    )
    actions_stop: bool = Field(False, description="Send no action at all, whatever else is set")
    actions_sims_per_hour: int = Field(20, ge=1, description="Actions that may be sent within an hour, each on one SIM")
    actions_money_per_day: float = Field(
        100.0, ge=0, description="Money that actions may spend within 24 hours, in the currency of 1NCE's products"
    )
    actions_settle_minutes: float = Field(
        15.0,
        ge=2,
        description="Minutes after which an action whose answer was lost is looked for at 1NCE; it is not sent again "
        "before that",
    )
    top_up_price: float | None = Field(
        None, ge=0, description="Price of a top-up where 1NCE's products do not say it; none if unset"
    )

    prices: Path | None = Field(
        None,
        description="JSON file of prices that 1NCE's products do not say or that differ (docs/models.md); none if "
        "unset",
    )
    outage_day: float = Field(
        5.0,
        ge=0,
        description="What a day costs, in the currency of the prices, on which a device that would send cannot",
    )
    handling: float = Field(0.0, ge=0, description="What any action on a SIM costs beside its product: minutes of work")
    swap_work: float = Field(50.0, ge=0, description="What it costs to put another SIM card into a device")
    sim_mb: float = Field(500.0, gt=0, description="MB of a SIM or a top-up whose product does not say it")
    sim_months: int = Field(
        120, ge=1, description="Months that a SIM works, or an extension adds, where its product does not say it"
    )
    month_budget: float | None = Field(
        None, ge=0, description="Money that recommendations for the whole fleet may take a month; unlimited if unset"
    )
    outage_limit: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Probability of an outage within 90 days up to which a SIM is left as it is where that is cheaper",
    )

    api_host: str = Field("127.0.0.1", description="Address the HTTP service listens on")
    api_port: int = Field(8000, ge=1, le=65535, description="Port the HTTP service listens on")
    api_url: str = Field(
        "", description="Address at which people reach the HTTP service, for links in messages; none if unset"
    )
    mlflow_url: str = Field(
        "", description="Address at which people reach MLflow, for links in answers of the HTTP service; none if unset"
    )
    free_sql: PostgresUrls = Field(
        SecretStr(""),
        description="URLs of logins (simsight downstream create) that run free SQL, one an organization, with spaces; "
        "switched off if unset",
    )
    llm_url: str = Field(
        "",
        pattern=r"^(https?://[^\s@]+)?$",
        description="Base URL of an OpenAI-compatible endpoint that reads questions which no rule understands, such as "
        "http://127.0.0.1:11434/v1; none is asked if unset",
    )
    llm_model: str = Field("", max_length=200, description="Name of the model there")
    llm_api_key: SecretStr | None = Field(None, description="API key for it; none is sent if unset")
    mcp_hosts: str = Field(
        "",
        description="Hosts with ports, with commas, at which the HTTP service answers MCP clients under /mcp, such as "
        "127.0.0.1:8000; there is no MCP server if unset",
    )
    api_trusted_proxies: str = Field(
        "",
        description="Addresses or networks of proxies whose X-Forwarded-For and -Proto are believed, with commas; "
        "127.0.0.1 and ::1 if unset",
    )
    api_key_limit: str = Field(
        "12000/minute", description="Requests that one API key may send, such as 12000/minute; none: unlimited"
    )
    api_failure_limit: str = Field(
        "60/minute", description="Wrong keys that may come from one address before it must wait; none: unlimited"
    )
    api_limit_store: SecretStr | None = Field(
        None,
        description="redis:// URL where several processes of the HTTP service count together (extra redis); each "
        "counts for itself if unset",
    )
    api_cors_origins: str = Field(
        "",
        description="Origins whose pages may call the HTTP service from a browser, such as https://app.example, with "
        "commas; none if unset",
    )
    api_hsts_days: int = Field(
        365, ge=0, description="Days that browsers keep to https once they came by it (HSTS); 0: not said"
    )
    api_metrics_token: SecretStr | None = Field(
        None,
        min_length=32,
        description="Token that Prometheus shows at /metrics, 32 random characters or more; there are no metrics if "
        "unset",
    )
    oidc_issuer: str = Field(
        "", description="URL of an OpenID Connect provider whose tokens are accepted as keys; none if unset"
    )
    oidc_audience: str = Field("", description="Audience that those tokens must be for")
    oidc_secret: SecretStr | None = Field(
        None, description="32 random characters or more, of which the service makes the keys behind tokens"
    )
    oidc_jwks_url: str = Field(
        "", description="Where the provider's public keys are; as its discovery document says if unset"
    )
    oidc_organization_claim: str = Field("organization", description="Claim of a token that names the organization")
    oidc_scopes_claim: str = Field("scope", description="Claim of a token that names its scopes or roles")
    ui_port: int = Field(3000, ge=1, le=65535, description="Port the Dagster UI listens on")
    mlflow_port: int = Field(5000, ge=1, le=65535, description="Port the MLflow UI listens on")

    _missing: str = PrivateAttr("")
    _apart: bool = PrivateAttr(False)

    def say_missing(self, problem: str) -> None:
        """Note why the account is not known."""
        self._missing = problem

    def set_apart(self) -> None:
        """Note that these are the settings of an organization beside the deployment's own."""
        self._apart = True

    @property
    def account_problem(self) -> str:
        """What lacks of the 1NCE account when only half of it is set; empty when all or nothing of it is."""
        if self._missing:
            return self._missing
        if bool(self.once_username) == bool(self.once_password):
            return ""
        missing, given = (
            ("ONCE_PASSWORD", "ONCE_USERNAME") if self.once_username else ("ONCE_USERNAME", "ONCE_PASSWORD")
        )
        return f"{given} is set and {missing} is not: set both, or neither to work on simulated SIMs"

    def account(self) -> tuple[str, SecretStr]:
        """The user name and the password of the 1NCE account. Raises SettingsError when not both are set."""
        if self.account_problem:
            raise SettingsError(self.account_problem)
        if self.once_username is None or self.once_password is None:
            raise SettingsError(
                "no 1NCE account is set: put ONCE_USERNAME and ONCE_PASSWORD of an API user into the environment "
                "or .env, or try everything on simulated SIMs with `simsight demo`"
            )
        return self.once_username, self.once_password

    @property
    def actions_on(self) -> frozenset[str]:
        """The kinds of action that are switched on."""
        return names_of(self.actions)

    @property
    def actions_to_approve(self) -> frozenset[str]:
        """The kinds of action that a second key or person must approve."""
        return names_of(self.actions_approval)

    @property
    def free_sql_urls(self) -> list[str]:
        """URLs of the logins that run free SQL; empty: it is switched off."""
        return self.free_sql.get_secret_value().split()

    @property
    def mcp_allowed_hosts(self) -> list[str]:
        """Hosts that the MCP server answers; empty: there is none."""
        return sorted(names_of(self.mcp_hosts))

    @property
    def top_up_minor(self) -> int | None:
        """The price of a top-up that is set, in minor units."""
        return None if self.top_up_price is None else round(self.top_up_price * 100)

    @property
    def account_note(self) -> str:
        """What is to be said of the account's data: that it is synthetic when it comes from this machine, a
        simulator."""
        host = urlsplit(self.once_base_url).hostname
        return SYNTHETIC if host in ("127.0.0.1", "localhost", "::1") else ""

    @property
    def landing_folder(self) -> Path:
        """Where CSV, XLSX and Parquet files are dropped for import; each organization has a folder of its own."""
        return self.home / "landing" / self.organization if self._apart else self.home / "landing"

    @property
    def report_folder(self) -> Path:
        """Where the reports of this organization are written."""
        return self.home / "reports" / self.organization

    def clock(self) -> datetime:
        """The present moment in UTC: `now` when it is set, else the system clock. The only place that reads it."""
        return self.now or datetime.now(UTC)


def load_settings() -> Settings:
    """Read the settings.

    Raises SettingsError naming each variable that is wrong, without its value when it is secret.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = []
        for issue in error.errors(include_input=False, include_url=False):
            name = str(issue["loc"][0]) if issue["loc"] else "?"
            wrong.append(f"{variable_of(name)}: {issue['msg'].removeprefix('Value error, ')}")
        raise SettingsError("; ".join(wrong) + ". Fix it in the environment or in .env (see .env.example).") from None
