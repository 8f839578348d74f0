"""Where a setting comes from, and what is said of one that can't be used."""

from pathlib import Path

import msgspec
import pytest

from gateway.domain.capability import DEFAULT_ADAPTATION, HardwareType
from gateway.errors import ConfigurationError
from gateway.settings import VARIABLES, Profile, Settings, load_settings

SECRET = "s3cr3t-value"
PRODUCTION = {"RUTH_AI_PROFILE": "prod-cpu", "RUTH_AI_RUNTIME_TOKEN": SECRET}


@pytest.fixture
def load(tmp_path: Path):
    """Loads settings from an environment, a `.env` and a TOML text."""

    def load_from(env: dict[str, str] | None = None, dotenv: str = "", toml: str = "") -> Settings:
        (tmp_path / ".env").write_text(dotenv)
        (tmp_path / "ruth.toml").write_text(toml)
        return load_settings(tmp_path / "ruth.toml", env or {}, tmp_path / ".env")

    return load_from


def test_without_anything_stated_the_defaults_hold(tmp_path: Path):
    assert load_settings(None, {}, tmp_path / "none") == Settings(adaptation=DEFAULT_ADAPTATION)


def test_environment_beats_dotenv_beats_file_beats_profile_beats_default(load):
    token = {"RUTH_AI_RUNTIME_TOKEN": SECRET}
    assert load(token).workers == 2
    assert load(PRODUCTION | {"RUTH_AI_PROFILE": "prod-gpu"}).workers == 4
    toml = 'profile = "prod-gpu"\nworkers = 5\n'
    assert load(token, toml=toml).workers == 5
    assert load(token, toml=toml, dotenv="RUTH_AI_SCALE_WORKERS=6\n").workers == 6
    env = token | {"RUTH_AI_SCALE_WORKERS": "7"}
    assert load(env, toml=toml, dotenv="RUTH_AI_SCALE_WORKERS=6\n").workers == 7


def test_every_field_has_a_variable_and_takes_its_value(load):
    values = {
        "profile": "edge-jetson",
        "environment": "site 7",
        "log_level": "warn",
        "log_format": "text",
        "host": "::1",
        "port": "8181",
        "allowed_hosts": "ruth.example.org,*.example.net",
        "data_dir": "/srv/ruth",
        "database_url": "postgresql://ruth@db/ruth",
        "database_pool_size": "3",
        "runtime_url": "triton:8001",
        "runtime_timeout_ms": "700",
        "runtime_token": SECRET,
        "heartbeat_interval_s": "1.5",
        "model_socket_dir": "/run/ruth",
        "malloc_arenas": "4",
        "workers": "9",
        "media_dir": "/srv/clips",
        "hardware_decoding": "cuda",
        "vas_base_url": "http://vas:8085",
        "vas_client_id": "ruth-ai",
        "vas_client_secret": SECRET,
        "vas_token_refresh_margin_s": "7.5",
        "acknowledged_days": "30.0",
        "resolved_days": "20.0",
        "dismissed_days": "10.0",
        "evidence_per_camera": "1000",
        "evidence_disk_share": "0.5",
        "event_days": "7.0",
        "evidence_url": "s3://bucket/prefix",
        "evidence_endpoint": "https://minio.example:9000",
        "evidence_region": "eu-central-1",
        "evidence_access_key": "ruth",
        "evidence_secret_key": SECRET,
        "evidence_path_style": "False",
        "evidence_staging_mb": "64",
        "redis_url": "redis://redis:6379/0",
        "webhook_networks": "10.0.0.0/8",
        "mqtt_url": "mqtts://broker:8883",
        "mqtt_username": "ruth",
        "mqtt_password": SECRET,
        "mqtt_ca": "-----BEGIN CERTIFICATE-----",
        "mqtt_topic": "site/ruth",
        "mqtt_discovery": "none",
        "replica": "gateway-1",
        "lease_s": "9.0",
    }
    assert values.keys() == VARIABLES.keys() == set(Settings.__struct_fields__) - {"adaptation"}
    settings = load({VARIABLES[name]: value for name, value in values.items()})
    assert {name: str(getattr(settings, name)) for name in values} == values


def test_a_secret_comes_from_its_file(load, tmp_path: Path):
    secret = tmp_path / "token"
    secret.write_text(f"{SECRET}\n")
    env = {"RUTH_AI_PROFILE": "prod-cpu", "RUTH_AI_RUNTIME_TOKEN_FILE": str(secret)}
    assert load(env).runtime_token == SECRET
    assert load(env | {"RUTH_AI_RUNTIME_TOKEN": "stated"}).runtime_token == "stated"
    assert load(env, dotenv="RUTH_AI_RUNTIME_TOKEN=of a developer\n").runtime_token == SECRET


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe\x00"])
def test_a_secret_file_that_holds_no_secret_is_refused_by_its_variable(load, tmp_path: Path, content: bytes | None):
    secret = tmp_path / "token"
    if content is not None:
        secret.write_bytes(content)
    with pytest.raises(ConfigurationError, match="RUTH_AI_RUNTIME_TOKEN_FILE names"):
        load({"RUTH_AI_PROFILE": "prod-cpu", "RUTH_AI_RUNTIME_TOKEN_FILE": str(secret)})


def test_an_empty_variable_is_as_good_as_none(load):
    assert load({"RUTH_AI_PORT": "", "DATABASE_URL": ""}) == load()


def test_a_dollar_sign_in_a_dotenv_is_a_dollar_sign(load, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert load(dotenv="RUTH_AI_RUNTIME_TOKEN='a${HOME}b'\n").runtime_token == "a${HOME}b"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RUTH_AI_PORT", "http"),
        ("RUTH_AI_PORT", "0"),
        ("RUTH_AI_PORT", "65536"),
        ("RUTH_AI_PROFILE", "production"),
        ("RUTH_AI_LOG_LEVEL", "loud"),
        ("RUTH_AI_LOG_FORMAT", "xml"),
        ("RUTH_AI_HEARTBEAT_S", "0"),
        ("RUTH_AI_HEARTBEAT_S", "nan"),
        ("RUTH_AI_SCALE_WORKERS", "-1"),
        ("DATABASE_POOL_SIZE", "many"),
        ("RUTH_AI_MQTT_TOPIC", "ruth/#"),
        ("RUTH_AI_MQTT_TOPIC", "ruth/"),
        ("RUTH_AI_MQTT_TOPIC", "/ruth"),
        ("RUTH_AI_MQTT_TOPIC", "$SYS"),
        ("RUTH_AI_MQTT_DISCOVERY", "home assistant"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_its_variable(load, variable: str, value: str):
    with pytest.raises(ConfigurationError, match=variable):
        load({variable: value})


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("port = ", "isn't TOML"),
        ('prot = "8080"', "unknown keys prot; there are profile"),
        ("adaptation = 5", r"adaptation.cpu"),
        ("[adaptation]\ncpu = 5", r"adaptation\.cpu"),
        ("[adaptation.cpu]\nmax_fps = 0", r"adaptation\.cpu"),
        ("[adaptation.cpu]\ntimeout_ms = -1", r"adaptation\.cpu"),
        ("[adaptation.cpu]\nspeed = 3", r"adaptation\.cpu.*speed"),
        ("[adaptation.tpu]\nmax_fps = 3", "adaptation can't be used"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_place(load, toml: str, said: str):
    with pytest.raises(ConfigurationError, match=said):
        load(toml=toml)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path):
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "none.toml", tmp_path, binary):
        with pytest.raises(ConfigurationError, match=str(path)):
            load_settings(path, {}, tmp_path / ".env")


def test_a_dotenv_that_is_no_text_is_refused_by_name(tmp_path: Path):
    (tmp_path / ".env").write_bytes(b"\xff\xfe=\x00")
    with pytest.raises(ConfigurationError, match=r"\.env can't be read"):
        load_settings(None, {}, tmp_path / ".env")


def test_no_error_holds_a_secret(load):
    urls = {"DATABASE_URL": f"postgresql://ruth:{SECRET}@db/ruth"}
    for env in ({"RUTH_AI_PORT": "x"}, {"RUTH_AI_PROFILE": "x"}, {"RUTH_AI_HEARTBEAT_S": "x"}):
        with pytest.raises(ConfigurationError) as refused:
            load(PRODUCTION | urls | env)
        assert SECRET not in str(refused.value)
        assert SECRET not in str(refused.value.__cause__)


@pytest.mark.parametrize("profile", ["prod-cpu", "prod-gpu", "edge-jetson"])
def test_a_production_profile_without_a_runtime_token_is_refused(load, profile: str):
    with pytest.raises(ConfigurationError, match="needs RUTH_AI_RUNTIME_TOKEN"):
        load({"RUTH_AI_PROFILE": profile})
    settings = load({"RUTH_AI_PROFILE": profile, "RUTH_AI_RUNTIME_TOKEN": SECRET})
    assert (settings.host, settings.environment) == ("0.0.0.0", "production")


@pytest.mark.parametrize("missing", ["VAS_CLIENT_ID", "VAS_CLIENT_SECRET"])
def test_a_vas_without_credentials_is_refused(load, missing: str):
    env = {"VAS_BASE_URL": "http://vas:8085", "VAS_CLIENT_ID": "ruth-ai", "VAS_CLIENT_SECRET": SECRET}
    with pytest.raises(ConfigurationError, match="VAS_BASE_URL needs VAS_CLIENT_ID and VAS_CLIENT_SECRET") as refused:
        load({name: value for name, value in env.items() if name != missing})
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("profile", [Profile.DEV, Profile.TEST])
def test_a_developers_profile_needs_no_token_and_listens_at_home(load, profile: Profile):
    settings = load({"RUTH_AI_PROFILE": profile.value})
    assert settings.runtime_token is None
    assert settings.host == "127.0.0.1"


def test_an_operator_overrides_the_adaptation_value_by_value(load):
    table = load(toml="[adaptation.cpu]\nmax_fps = 200\nmax_camera_fps = 25\n").adaptation
    expected = msgspec.structs.replace(DEFAULT_ADAPTATION[HardwareType.CPU], max_fps=200, max_camera_fps=25)
    assert table == DEFAULT_ADAPTATION | {HardwareType.CPU: expected}


def test_settings_cannot_be_changed(load):
    with pytest.raises(AttributeError):
        load().port = 1


@pytest.mark.parametrize("stated", ["RUTH_AI_EVIDENCE_ACCESS_KEY", "RUTH_AI_EVIDENCE_SECRET_KEY"])
def test_half_of_the_buckets_credentials_is_refused_without_showing_it(load, stated: str):
    with pytest.raises(ConfigurationError, match="go together") as refused:
        load({"RUTH_AI_EVIDENCE_URL": "s3://bucket", stated: SECRET})
    assert SECRET not in str(refused.value)
