"""The command line of tritonserver."""

import pytest
from triton_agent.command import check_paths, needs_auto_complete, server_command
from triton_agent.errors import AgentError
from triton_agent.locate import Installation
from triton_agent.settings import AutoComplete, HardwareMode, ModelControl, OnFailure, Serving

COMPLETE = """name: "m" # input { output {
input [ { name: "x" data_type: TYPE_FP32 dims: [ 1 ] } ]
output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }
"""
ALL = frozenset(
    {
        "allow-client-shm",
        "backend-config",
        "backend-directory",
        "exit-on-error",
        "http-port",
        "load-model",
        "model-config-name",
        "model-control-mode",
        "model-repository",
        "pinned-memory-pool-byte-size",
        "strict-readiness",
    }
)


def command(folder, known=ALL, hardware=HardwareMode.CPU, backends=None, refused=(), **options):
    installation = Installation(folder / "tritonserver", backends, {})
    return server_command(installation, Serving(folder, **options), hardware, "ruth_", known, refused)


def add_model(folder, name, config=None, path="config.pbtxt"):
    (folder / name / path).parent.mkdir(parents=True)
    if config is not None:
        (folder / name / path).write_text(config)


def test_every_model_is_loaded_and_none_takes_the_others_down(tmp_path):
    arguments = command(tmp_path)
    assert {"--load-model=*", "--exit-on-error=false", "--strict-readiness=false"} <= set(arguments)


def test_a_caller_that_wants_to_know_gets_the_first_failure(tmp_path):
    arguments = command(tmp_path, load_models=("a", "b"), on_failure=OnFailure.EXIT)
    assert {"--load-model=a", "--load-model=b", "--exit-on-error=true"} <= set(arguments)


def test_options_that_this_server_does_not_have_are_left_out(tmp_path):
    assert "--allow-client-shm=true" in command(tmp_path)
    assert "--allow-client-shm=true" not in command(tmp_path, ALL - {"allow-client-shm"})


def test_models_are_not_named_when_triton_controls_them_itself(tmp_path):
    assert not [a for a in command(tmp_path, model_control=ModelControl.NONE) if a.startswith("--load-model")]


def test_pools_for_a_gpu_are_turned_off_where_there_is_none(tmp_path):
    assert "--pinned-memory-pool-byte-size=0" in command(tmp_path)
    assert "--pinned-memory-pool-byte-size=0" not in command(tmp_path, hardware=HardwareMode.GPU)


def test_only_a_local_server_is_told_where_backends_are(tmp_path):
    assert f"--backend-directory={tmp_path}" in command(tmp_path, backends=tmp_path)
    assert not [a for a in command(tmp_path) if a.startswith("--backend-directory")]


@pytest.mark.parametrize(
    ("config", "needed"),
    [
        (COMPLETE, False),
        (COMPLETE.replace("output { name", "# output { name"), True),
        (COMPLETE.replace("input [", "batch_input ["), True),
        (None, True),
    ],
    ids=["complete", "no output", "no input", "no configuration"],
)
def test_auto_complete_is_on_only_if_a_configuration_leaves_something_out(tmp_path, config, needed):
    add_model(tmp_path, "m", config)
    assert needs_auto_complete(Serving(tmp_path)) is needed
    assert not needs_auto_complete(Serving(tmp_path, auto_complete=AutoComplete.OFF))


def test_a_configuration_that_can_not_be_read_is_left_to_triton(tmp_path):
    (tmp_path / "m/config.pbtxt").mkdir(parents=True)
    assert needs_auto_complete(Serving(tmp_path))


@pytest.mark.parametrize("name", ["two words", "$(touch x)", "a;b", "it's", "new\nline"])
def test_a_path_that_a_shell_would_read_is_refused_for_the_local_server_alone(tmp_path, name):
    serving = Serving(tmp_path / name)
    with pytest.raises(AgentError, match="local tritonserver"):
        check_paths(Installation(tmp_path, tmp_path, {}), serving)
    check_paths(Installation(tmp_path, None, {}), serving)
    check_paths(Installation(tmp_path, tmp_path, {}), Serving(tmp_path / "models-2_für+alle.v1"))


def test_models_that_are_not_loaded_do_not_count(tmp_path):
    add_model(tmp_path, "complete", COMPLETE)
    add_model(tmp_path, "bare")
    (tmp_path / "README.md").write_text("no model")
    assert not needs_auto_complete(Serving(tmp_path, load_models=("complete",)))
    assert needs_auto_complete(Serving(tmp_path))


def test_the_named_configuration_is_the_one_that_counts(tmp_path):
    add_model(tmp_path, "m", "", "config.pbtxt")
    add_model(tmp_path, "m", COMPLETE, "configs/h100.pbtxt")
    assert needs_auto_complete(Serving(tmp_path))
    assert not needs_auto_complete(Serving(tmp_path, model_config_name="h100"))


def test_a_model_that_is_refused_is_left_out_and_the_others_are_named(tmp_path):
    for name in ("a", "b"):
        add_model(tmp_path, name, COMPLETE)
    loads = [argument for argument in command(tmp_path, refused=["a"]) if argument.startswith("--load-model")]
    assert loads == ["--load-model=b"]
    assert not [argument for argument in command(tmp_path, refused=["a", "b"]) if argument.startswith("--load-model")]
