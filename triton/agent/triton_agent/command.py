"""The command line of tritonserver: a pure function of the settings and of the options that the server has."""

import re
import subprocess
from collections.abc import Collection

from triton_agent.errors import AgentError, MissingError
from triton_agent.locate import Installation
from triton_agent.repository import config_text, wanted_models
from triton_agent.settings import AutoComplete, HardwareMode, ModelControl, OnFailure, Serving

EXIT_TIMEOUT_S = 5
OPTION = re.compile(r"^\s*--([a-z0-9-]+)", re.MULTILINE)
TENSORS = re.compile(r"\b(input|output)\s*:?\s*[\[{]")
UNSAFE_IN_SHELL = re.compile(r"[^\w./+@%=:,-]")
PYTHON_BACKENDS = ("python", "onnxruntime")


def known_options(installation: Installation) -> frozenset[str]:
    """Names of the options that this tritonserver has, from its `--help` (20 ms, so asked at every start).

    Raises:
        MissingError: It can't be executed on this machine.
    """
    try:
        done = subprocess.run([installation.server, "--help"], check=False, capture_output=True, text=True)
    except OSError as error:
        raise MissingError(f"{installation.server} can't be executed: {error.strerror}") from error
    options = frozenset(OPTION.findall(done.stdout + done.stderr))
    if "model-repository" not in options:
        reason = done.stderr.strip() or f"exit status {done.returncode}"
        raise MissingError(f"{installation.server} does not run here: {reason.splitlines()[-1]}")
    return options


def check_paths(installation: Installation, serving: Serving) -> None:
    """Refuse paths that the local server's Python backend would not survive: it starts its stubs through a shell.

    A space in the path of a model keeps a stub from starting; `$(…)` in it would be run.

    Raises:
        AgentError: A path holds such a character.
    """
    if installation.backends is None:
        return
    for path in (serving.model_repository, installation.backends):
        if found := UNSAFE_IN_SHELL.search(str(path)):
            raise AgentError(
                f"{path} has {found[0]!r} in it, which the local tritonserver can't cope with: "
                "use a path of letters, digits and ./_-+@%=:,"
            )


def server_command(
    installation: Installation,
    serving: Serving,
    hardware: HardwareMode,
    region_prefix: str,
    known: frozenset[str],
    refused: Collection[str] = (),
) -> list[str]:
    """Arguments to start tritonserver with, the executable first.

    Options that this server does not know are left out: `known` is the difference between its versions.

    Args:
        installation: The tritonserver to start.
        serving: What it serves.
        hardware: What it runs on; without a GPU, pools and metrics of one are turned off.
        region_prefix: Beginning of the names of its Python backends' shared-memory regions.
        known: Names of its options.
        refused: Names of models that must not be loaded.
    """
    options = [
        *_endpoint(serving),
        *_models(serving, refused),
        ("exit-timeout-secs", EXIT_TIMEOUT_S),
        ("allow-client-shm", "true"),
        ("allow-sagemaker", "false"),
        ("allow-vertex-ai", "false"),
        ("metrics-interval-ms", 1000),
        *(("backend-config", f"{name},shm-region-prefix-name={region_prefix}") for name in PYTHON_BACKENDS),
    ]
    if installation.backends is not None:
        options.append(("backend-directory", installation.backends))
    if hardware is HardwareMode.CPU:
        options += [("allow-gpu-metrics", "false"), ("pinned-memory-pool-byte-size", 0)]
    arguments = [f"--{name}={value}" for name, value in options if name in known]
    if not needs_auto_complete(serving):
        arguments.append("--disable-auto-complete-config")
    return [str(installation.server), *arguments]


def needs_auto_complete(serving: Serving) -> bool:
    """Whether any configuration in the repository leaves its inputs or outputs to be derived.

    Where none does, auto-complete is turned off for the whole server: with a Python-based backend it costs 1.3 s for
    each model at every start, and what it may fill in behind one's back (a batch size of 4) nobody asked for.
    """
    if serving.auto_complete is AutoComplete.OFF:
        return False
    configs = (config_text(model, serving.model_config_name) for model in wanted_models(serving))
    return any(not {"input", "output"} <= set(TENSORS.findall(config)) for config in configs)


def _endpoint(serving: Serving) -> list[tuple[str, object]]:
    where = serving.endpoint
    return [
        ("http-address", where.host),
        ("http-port", where.http_port),
        ("http-thread-count", 4),
        ("grpc-address", where.host),
        ("grpc-port", where.grpc_port),
        ("metrics-address", where.host),
        ("metrics-port", where.metrics_port),
    ]


def _models(serving: Serving, refused: Collection[str]) -> list[tuple[str, object]]:
    """What to load. A model that can't be loaded must not take the others down, unless the caller asked to be told."""
    strict = "true" if serving.on_failure is OnFailure.EXIT else "false"
    options: list[tuple[str, object]] = [
        ("model-repository", serving.model_repository),
        ("model-control-mode", serving.model_control),
        ("exit-on-error", strict),
        ("strict-readiness", strict),
    ]
    if serving.model_control is ModelControl.EXPLICIT:
        every = [path.name for path in wanted_models(serving)] if refused else ["*"]
        options += [("load-model", name) for name in serving.load_models or every if name not in refused]
    if serving.model_config_name:
        options.append(("model-config-name", serving.model_config_name))
    return options
