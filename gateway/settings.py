"""Settings: frozen, built once, passed in.

Priority: environment, `.env`, configuration file (`--config ruth.toml`), profile, default. A variable `NAME_FILE` names
a file that holds the value of `NAME` (a Docker secret). The names are those of the infrastructure design.
"""

import os
import socket
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from dotenv import dotenv_values

from gateway.domain.capability import DEFAULT_ADAPTATION, AdaptationRow, AdaptationTable, HardwareType
from gateway.domain.evidence_place import EvidencePlace
from gateway.domain.media import HardwareDecoding
from gateway.domain.retention import Days, RetentionPolicy
from gateway.errors import ConfigurationError

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1024)]
Topic = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^+#$/\s](?:[^+#\s]*[^+#/\s])?$")]


class Profile(StrEnum):
    """Which set of defaults applies."""

    DEV = "dev"
    TEST = "test"
    PROD_CPU = "prod-cpu"
    PROD_GPU = "prod-gpu"
    EDGE_JETSON = "edge-jetson"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All that a gateway can be told; the environment variable of each field stands in `VARIABLES`.

    Attributes:
        profile: Where defaults come from.
        environment: Name of the environment, for people.
        log_level: Least important level that is logged.
        log_format: `json`, or `text` for people.
        host: Address to listen on.
        port: Port of the API.
        allowed_hosts: Names that the API answers under beside addresses and local names, separated by commas.
        data_dir: Folder of the spool, the evidence and, without `database_url`, the database.
        database_url: PostgreSQL or SQLite; None for SQLite in `data_dir`.
        redis_url: Redis, for events between replicas; None for one replica.
        database_pool_size: Connections to the database at most.
        runtime_url: `host:port` of a Triton that `doctor` checks and `replay` uses unless told otherwise.
        runtime_timeout_ms: A direct call, one picture from outside, has its answer by then or is given up.
        runtime_token: What a runtime must show to register; None lets any runtime register (only in dev and test).
        heartbeat_interval_s: What runtimes are asked to keep to; three misses and a runtime is out.
        model_socket_dir: Folder of the models' Unix sockets; None for no sockets.
        malloc_arenas: Arenas of glibc's allocator that all threads share; 0 for no limit.
        workers: Threads that scale frames to large canvases.
        media_dir: Folder that the files of cameras must lie in; None for anywhere (only in dev and test).
        hardware_decoding: Where streams are decoded: `none` (the CPU) or `cuda`.
        vas_base_url: Address of the VAS; None without one.
        vas_client_id: Who the gateway is to the VAS.
        vas_client_secret: Proves it.
        vas_token_refresh_margin_s: A token is renewed so long before it expires.
        acknowledged_days: Age at which the evidence of acknowledged violations goes; None to keep it.
        resolved_days: Of resolved ones.
        dismissed_days: Of dismissed ones.
        evidence_per_camera: So many violations of a camera keep their evidence; None for all.
        evidence_disk_share: The oldest evidence goes while more of its disk is used.
        evidence_url: `s3://bucket/prefix` for evidence; None for a folder in `data_dir`.
        evidence_endpoint: Address of the service that has the bucket; None for AWS.
        evidence_region: Its region.
        evidence_access_key: Who the gateway is to it; None to find out as AWS's own tools do.
        evidence_secret_key: Proves it.
        evidence_path_style: Whether the bucket goes into the path, or before the service's host.
        evidence_staging_mb: So many MiB of evidence may wait on disk while the service is away.
        event_days: Events can be replayed, and dead letters sent again, for so long.
        webhook_networks: Networks that webhooks may lead to though they aren't public, separated by commas.
        mqtt_url: MQTT broker that events are sent to; None for none.
        mqtt_username: Who the gateway is to it.
        mqtt_password: Proves it.
        mqtt_ca: Certificates of the authorities that may vouch for it, PEM; None for those the machine trusts.
        mqtt_topic: What its topics begin with; each site on a broker has its own.
        mqtt_discovery: Where Home Assistant looks for announcements; `none` for no announcements.
        replica: Name of this gateway among those on one database; None for host name and data folder.
        lease_s: A replica that the database hasn't heard of for so many seconds has lost its cameras.
        adaptation: Limits per declared kind of hardware.
    """

    profile: Profile = Profile.DEV
    environment: str = "development"
    log_level: Literal["debug", "info", "warn", "error"] = "info"
    log_format: Literal["json", "text"] = "json"
    host: str = "127.0.0.1"
    port: Port = 8080
    allowed_hosts: str = ""
    data_dir: Path = Path("data")
    database_url: str | None = None
    database_pool_size: Count = 10
    redis_url: str | None = None
    runtime_url: str = "127.0.0.1:8001"
    runtime_timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=600_000)] = 5000
    runtime_token: str | None = None
    heartbeat_interval_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 2.0
    model_socket_dir: Path | None = None
    malloc_arenas: Annotated[int, msgspec.Meta(ge=0)] = 2
    workers: Count = 2
    media_dir: Path | None = None
    hardware_decoding: HardwareDecoding = HardwareDecoding.NONE
    vas_base_url: str | None = None
    vas_client_id: str | None = None
    vas_client_secret: str | None = None
    vas_token_refresh_margin_s: Annotated[float, msgspec.Meta(ge=0)] = 300.0
    acknowledged_days: Days | None = None
    resolved_days: Days | None = None
    dismissed_days: Days | None = None
    evidence_per_camera: Annotated[int, msgspec.Meta(ge=1)] | None = None
    evidence_disk_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.9
    evidence_url: str | None = None
    evidence_endpoint: str | None = None
    evidence_region: str = "us-east-1"
    evidence_access_key: str | None = None
    evidence_secret_key: str | None = None
    evidence_path_style: bool = True
    evidence_staging_mb: Annotated[int, msgspec.Meta(ge=1)] = 2048
    event_days: Days = 30.0
    webhook_networks: str = ""
    mqtt_url: str | None = None
    mqtt_username: str | None = None
    mqtt_password: str | None = None
    mqtt_ca: str | None = None
    mqtt_topic: Topic = "ruth_ai"
    mqtt_discovery: Topic = "homeassistant"
    replica: str | None = None
    lease_s: Annotated[float, msgspec.Meta(ge=3, le=300)] = 6.0
    adaptation: AdaptationTable = {}

    @property
    def replica_name(self) -> str:
        """What this gateway is called among the replicas."""
        return self.replica or f"{socket.gethostname()}:{self.data_dir.resolve()}"

    @property
    def retention(self) -> RetentionPolicy:
        """How long evidence and events are kept."""
        return RetentionPolicy(
            acknowledged_days=self.acknowledged_days,
            resolved_days=self.resolved_days,
            dismissed_days=self.dismissed_days,
            per_camera=self.evidence_per_camera,
            disk_share=self.evidence_disk_share,
            event_days=self.event_days,
        )

    @property
    def evidence_place(self) -> EvidencePlace | None:
        """The bucket for evidence; None where it is kept in a folder."""
        if self.evidence_url is None:
            return None
        return EvidencePlace(
            url=self.evidence_url,
            endpoint=self.evidence_endpoint,
            region=self.evidence_region,
            access_key=self.evidence_access_key,
            secret_key=self.evidence_secret_key,
            path_style=self.evidence_path_style,
            staging_bytes=self.evidence_staging_mb << 20,
        )


VARIABLES: Mapping[str, str] = {
    "profile": "RUTH_AI_PROFILE",
    "environment": "RUTH_AI_ENV",
    "log_level": "RUTH_AI_LOG_LEVEL",
    "log_format": "RUTH_AI_LOG_FORMAT",
    "host": "RUTH_AI_HOST",
    "port": "RUTH_AI_PORT",
    "allowed_hosts": "RUTH_AI_ALLOWED_HOSTS",
    "data_dir": "RUTH_AI_DATA_DIR",
    "database_url": "DATABASE_URL",
    "database_pool_size": "DATABASE_POOL_SIZE",
    "redis_url": "REDIS_URL",
    "runtime_url": "AI_RUNTIME_URL",
    "runtime_timeout_ms": "AI_RUNTIME_TIMEOUT_MS",
    "runtime_token": "RUTH_AI_RUNTIME_TOKEN",
    "heartbeat_interval_s": "RUTH_AI_HEARTBEAT_S",
    "model_socket_dir": "RUTH_AI_MODEL_SOCKET_DIR",
    "malloc_arenas": "MALLOC_ARENA_MAX",
    "workers": "RUTH_AI_SCALE_WORKERS",
    "media_dir": "RUTH_AI_MEDIA_DIR",
    "hardware_decoding": "RUTH_AI_HARDWARE_DECODING",
    "acknowledged_days": "RUTH_AI_ACKNOWLEDGED_DAYS",
    "resolved_days": "RUTH_AI_RESOLVED_DAYS",
    "dismissed_days": "RUTH_AI_DISMISSED_DAYS",
    "evidence_per_camera": "RUTH_AI_EVIDENCE_PER_CAMERA",
    "evidence_disk_share": "RUTH_AI_EVIDENCE_DISK_SHARE",
    "evidence_url": "RUTH_AI_EVIDENCE_URL",
    "evidence_endpoint": "RUTH_AI_EVIDENCE_ENDPOINT",
    "evidence_region": "RUTH_AI_EVIDENCE_REGION",
    "evidence_access_key": "RUTH_AI_EVIDENCE_ACCESS_KEY",
    "evidence_secret_key": "RUTH_AI_EVIDENCE_SECRET_KEY",
    "evidence_path_style": "RUTH_AI_EVIDENCE_PATH_STYLE",
    "evidence_staging_mb": "RUTH_AI_EVIDENCE_STAGING_MB",
    "event_days": "RUTH_AI_EVENT_DAYS",
    "vas_base_url": "VAS_BASE_URL",
    "vas_client_id": "VAS_CLIENT_ID",
    "vas_client_secret": "VAS_CLIENT_SECRET",
    "vas_token_refresh_margin_s": "VAS_TOKEN_REFRESH_MARGIN_SEC",
    "webhook_networks": "RUTH_AI_WEBHOOK_NETWORKS",
    "mqtt_url": "MQTT_URL",
    "mqtt_username": "MQTT_USERNAME",
    "mqtt_password": "MQTT_PASSWORD",
    "mqtt_ca": "MQTT_CA",
    "mqtt_topic": "RUTH_AI_MQTT_TOPIC",
    "mqtt_discovery": "RUTH_AI_MQTT_DISCOVERY",
    "replica": "RUTH_AI_REPLICA",
    "lease_s": "RUTH_AI_LEASE_S",
}

_PRODUCTION: Mapping[str, Any] = {
    "environment": "production",
    "host": "0.0.0.0",  # noqa: S104 - a container's port
    "media_dir": Path("media"),
}
_PROFILES: Mapping[Profile, Mapping[str, Any]] = {
    Profile.DEV: {},
    Profile.TEST: {"environment": "test"},
    Profile.PROD_CPU: _PRODUCTION,
    Profile.PROD_GPU: {**_PRODUCTION, "workers": 4},
    Profile.EDGE_JETSON: _PRODUCTION,
}


def load_settings(config: Path | None, env: Mapping[str, str], dotenv: Path = Path(".env")) -> Settings:
    """Build the settings.

    Args:
        config: A TOML file whose keys are field names of `Settings`, and tables `[adaptation.cpu]` and so on.
        env: The process's environment.
        dotenv: A file of variables that the environment overrides; it need not exist.

    Raises:
        ConfigurationError: A value can't be used; names the variable or key, never a secret's value.
    """
    stated: dict[str, Any] = {**_from_file(config), **_from_dotenv(dotenv), **_from_variables(env)}
    profile = _convert("profile", stated.get("profile", Profile.DEV), Profile)
    values = {**_PROFILES[profile], **stated, "adaptation": _adaptation(stated.get("adaptation", {}))}
    fields = {f.name: f.type for f in msgspec.structs.fields(Settings)}
    settings = Settings(**{name: _convert(name, value, fields[name]) for name, value in values.items()})
    if settings.runtime_token is None and profile not in (Profile.DEV, Profile.TEST):
        raise ConfigurationError(
            f"the profile {profile} needs RUTH_AI_RUNTIME_TOKEN (or RUTH_AI_RUNTIME_TOKEN_FILE): "
            "without it anyone who reaches the port could register a runtime"
        )
    if settings.vas_base_url is not None and None in (settings.vas_client_id, settings.vas_client_secret):
        raise ConfigurationError(
            "VAS_BASE_URL needs VAS_CLIENT_ID and VAS_CLIENT_SECRET (or VAS_CLIENT_SECRET_FILE) beside it"
        )
    if (settings.evidence_access_key is None) != (settings.evidence_secret_key is None):
        raise ConfigurationError(
            "RUTH_AI_EVIDENCE_ACCESS_KEY and RUTH_AI_EVIDENCE_SECRET_KEY (or RUTH_AI_EVIDENCE_SECRET_KEY_FILE) "
            "go together; leave out both where the machine has a role of AWS"
        )
    return settings


def load_process_settings(config: Path | None = None) -> Settings:
    """Build the settings of this process, from its own environment and `.env`."""
    return load_settings(config, os.environ)


def _from_file(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        content = tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"the configuration {config} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the configuration {config} isn't TOML: {error}") from error
    unknown = sorted(set(content) - {*VARIABLES, "adaptation"})
    if unknown:
        known = ", ".join([*VARIABLES, "adaptation"])
        raise ConfigurationError(f"the configuration {config} has unknown keys {', '.join(unknown)}; there are {known}")
    return content


def _from_dotenv(dotenv: Path) -> dict[str, str]:
    try:
        # Without interpolation: a password may hold a `$`, and the environment comes in as an argument alone.
        variables = dotenv_values(dotenv, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{dotenv} can't be read: {_reason(error)}") from error
    return _from_variables({name: value for name, value in variables.items() if value is not None})


def _from_variables(variables: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, variable in VARIABLES.items():
        if value := variables.get(variable):
            found[name] = value
        elif secret := variables.get(f"{variable}_FILE"):
            found[name] = _read_secret(f"{variable}_FILE", Path(secret))
    return found


def _read_secret(variable: str, path: Path) -> str:
    try:
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{variable} names {path}, which can't be read: {_reason(error)}") from error
    if not value:
        raise ConfigurationError(f"{variable} names {path}, which is empty")
    return value


def _reason(error: OSError | UnicodeDecodeError) -> str:
    """Why a file can't be read, without what is in it."""
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "it isn't UTF-8 text"


def _adaptation(stated: Any) -> AdaptationTable:  # noqa: ANN401 - as the file has it
    table = dict(DEFAULT_ADAPTATION)
    if not isinstance(stated, dict):
        raise ConfigurationError("adaptation is a table of tables, as in [adaptation.cpu] with max_fps = 60")
    for hardware, row in stated.items():
        kind = _convert("adaptation", hardware, HardwareType)
        try:
            merged = {**msgspec.structs.asdict(table[kind]), **row}
            table[kind] = msgspec.convert(merged, AdaptationRow)
        except (msgspec.ValidationError, TypeError) as error:
            raise ConfigurationError(f"adaptation.{hardware} can't be used: {error}") from error
    return table


def _convert(name: str, value: object, kind: Any) -> Any:  # noqa: ANN401 - as msgspec.convert
    if name == "adaptation" and isinstance(value, dict):
        return value
    try:
        return msgspec.convert(value, kind, strict=False, dec_hook=_to_path)
    except msgspec.ValidationError as error:
        where = VARIABLES.get(name, name)
        raise ConfigurationError(f"{where} can't be used: {error}") from error


def _to_path(kind: type, value: object) -> Path:
    """Convert the one kind of field that msgspec doesn't know."""
    if kind is not Path or not isinstance(value, str | Path):
        raise TypeError(f"expected a path, got {type(value).__name__}")
    return Path(value)
