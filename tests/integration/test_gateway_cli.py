"""`ruth-gateway` as a user meets it: exit status, and one message that helps."""

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.cli import main
from tests.support.clips import write_clip, write_sound
from tests.support.mqtt_broker import PASSWORD, USER, private_broker
from tests.support.running_gateway import running_gateway

SETTINGS = ("RUTH_", "DATABASE_", "AI_")

CROSSED = """
[[rules]]
name = "crossed"
[rules.definition]
type = "zone_presence"
zone = [[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
"""


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that nobody answers on, and nobody else can take."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def ruth(tmp_path: Path):
    """Runs a command line in a process; returns exit status, stdout and stderr."""

    def run(*arguments: str, **env: str) -> tuple[int, str, str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(SETTINGS)}
        command = [sys.executable, "-m", "gateway", *arguments]
        search = {"PYTHONPATH": str(Path(__file__).parents[2]), "RUTH_AI_DATA_DIR": str(tmp_path / "data")}
        done = subprocess.run(
            command, cwd=tmp_path, env=clean | search | env, capture_output=True, text=True, timeout=60, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def ruth_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs a command line in this process, which is faster."""
    for variable in [name for name in os.environ if name.startswith(SETTINGS)]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(arguments)
        except SystemExit as end:
            status = int(str(end.code))
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", frames=3)


def test_a_video_that_is_none_is_named_and_the_status_is_1(ruth_here, tmp_path: Path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    write_sound(tmp_path / "sound.wav")
    for name in ("empty.mp4", "text.mp4", "sound.wav", "none.mp4"):
        status, out, err = ruth_here("replay", "--video", name, "--model", "people", "--json")
        assert (status, out) == (1, "")
        assert err.startswith("ruth-gateway: ")
        assert name in err
        assert err.count("\n") == 1


def test_wrong_usage_is_status_2(ruth_here):
    for arguments in (
        ["dance"],
        [],
        ["replay", "--model", "people"],
        ["replay", "--video", "a.mp4", "--model", "m", "--fps", "0"],
        ["replay", "--video", "a.mp4", "--model", "m", "--fps", "nan"],
        ["replay", "--video", "a.mp4", "--model", "m", "--fps", "many"],
        ["serve", "--port", "65536"],
    ):
        status, out, err = ruth_here(*arguments)
        assert (status, out) == (2, "")
        assert "usage: ruth-gateway" in err
        assert "_fps" not in err


def test_a_triton_that_does_not_answer_is_status_3(ruth_here, clip: Path, silent_port: int):
    status, out, err = ruth_here(
        "replay", "--video", str(clip), "--model", "people", "--triton", f"127.0.0.1:{silent_port}", "--json"
    )
    assert (status, out) == (3, "")
    assert "can't be reached" in err


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (CROSSED, "not simple"),
        ("rules = 5", "[[rules]]"),
        ("", "[[rules]]"),
        ("[[rules]\n", "aren't TOML"),
        ('[[rules]]\nname = "a"\n[rules.definition]\ntype = "loitering"\n', "loitering"),
    ],
)
def test_rules_that_cannot_be_used_are_status_1(ruth_here, clip: Path, tmp_path: Path, rules: str, said: str):
    (tmp_path / "rules.toml").write_text(rules)
    status, out, err = ruth_here("replay", "--video", str(clip), "--model", "people", "--rules", "rules.toml")
    assert (status, out) == (1, "")
    assert "rules.toml" in err
    assert said in err


def test_rules_that_are_not_there_are_status_1(ruth_here, clip: Path):
    status, _, err = ruth_here("replay", "--video", str(clip), "--model", "people", "--rules", "none.toml")
    assert status == 1
    assert "none.toml can't be read" in err


def test_a_setting_that_cannot_be_used_is_status_1_and_names_its_variable(ruth):
    status, _, err = ruth("serve", RUTH_AI_PORT="http")
    assert status == 1
    assert "RUTH_AI_PORT" in err


def test_a_port_that_is_taken_is_status_1_and_says_what_would_do(ruth, silent_port: int):
    status, _, err = ruth("serve", "--port", str(silent_port))
    assert status == 1
    assert f"port {silent_port}" in err
    assert "--port" in err


def test_doctor_says_of_each_part_how_it_is(ruth, silent_port: int):
    status, out, _ = ruth("doctor", AI_RUNTIME_URL=f"127.0.0.1:{silent_port}")
    lines = {line[6:].split(":")[0]: line[:4] for line in out.splitlines()}
    assert status == 3
    assert lines == {
        "data folder": "ok  ",
        "spool": "ok  ",
        "database": "ok  ",
        "inference server": "FAIL",
        "video libraries": "ok  ",
    }
    assert "ruth-triton serve" in out


def test_doctor_says_whether_the_mqtt_broker_lets_the_gateway_in(ruth, tmp_path: Path, silent_port: int):
    secret = tmp_path / "password"
    with private_broker(tmp_path / "broker") as broker:
        for password, line in (
            (PASSWORD, f"ok    MQTT broker: mqtt://{USER}@127.0.0.1:{broker.port} lets the gateway in"),
            ("open barley", f"FAIL  MQTT broker: mqtt://{USER}@127.0.0.1:{broker.port} refuses the user"),
        ):
            secret.write_text(password)
            env = {"MQTT_URL": broker.url, "MQTT_USERNAME": USER, "MQTT_PASSWORD_FILE": str(secret)}
            _, out, _ = ruth("doctor", AI_RUNTIME_URL=f"127.0.0.1:{silent_port}", **env)
            assert line in out
            assert password not in out


def test_doctor_takes_a_spool_that_a_running_gateway_has_for_well(ruth, tmp_path: Path, silent_port: int):
    with running_gateway(tmp_path / "data"):
        _, out, _ = ruth("doctor", AI_RUNTIME_URL=f"127.0.0.1:{silent_port}")
    assert "ok    spool: in use by a running gateway" in out


def test_migrate_says_what_it_did_and_then_that_there_is_nothing_to_do(ruth):
    status, out, _ = ruth("migrate")
    assert status == 0
    assert out.startswith("migrated: ")
    assert ruth("migrate")[:2] == (0, "up to date\n")


def test_migrate_goes_back_to_a_migration_and_says_which_there_are(ruth):
    ran = [line.removeprefix("migrated: ") for line in ruth("migrate")[1].splitlines()]
    assert ruth("migrate", "--back-to", ran[-1])[:2] == (0, "nothing to undo\n")
    assert ruth("migrate", "--back-to", ran[-3])[:2] == (0, f"undone: {ran[-1]}\nundone: {ran[-2]}\n")
    assert ruth("migrate")[1].splitlines() == [f"migrated: {migration}" for migration in ran[-2:]]
    status, out, err = ruth("migrate", "--back-to", "0.1")
    assert (status, out) == (1, "")
    assert ran[0] in err


def test_help_and_version_are_there_without_anything_running(ruth_here):
    status, out, _ = ruth_here("--version")
    assert status == 0
    assert out.strip()
    status, out, _ = ruth_here("--help")
    assert status == 0
    assert all(verb in out for verb in ("serve", "replay", "migrate", "doctor"))


def test_a_database_of_a_newer_gateway_ends_it_with_status_3(ruth, tmp_path: Path):
    assert ruth("migrate")[0] == 0
    with closing(sqlite3.connect(tmp_path / "data" / "ruth.db")) as database, database:
        database.execute("INSERT INTO migration (name, app_name, ran_on) VALUES ('9999', 'gateway', '2026-01-01')")
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        free_port = probe.getsockname()[1]
    for verb in (["migrate"], ["serve", "--port", str(free_port)], ["doctor"]):
        status, out, err = ruth(*verb)
        assert status == 3
        assert "newer gateway" in out + err
