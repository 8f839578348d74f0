"""`ruth-triton`: parse, call, exit status. The only place of the agent that prints."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from triton_agent.errors import AgentError, MissingError, UsageError
from triton_agent.settings import (
    AutoComplete,
    Declared,
    Endpoint,
    Gateway,
    HardwareMode,
    Measuring,
    ModelControl,
    OnFailure,
    Serving,
    positive,
    runtime_id,
)

MAX_PORT = 65_535


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        0 done, 1 it can't be used as it is, 2 wrong usage, 3 something needed is missing.
    """
    env = os.environ
    try:
        arguments = _parser(env).parse_args(argv)
        verb = {
            "serve": _serve,
            "capabilities": _capabilities,
            "install": _install,
            "perf-analyzer": _perf_analyzer,
        }[arguments.verb]
        return verb(arguments, env)
    except AgentError as error:
        print(f"ruth-triton: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130


def _parser(env: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ruth-triton", description="Runs NVIDIA's tritonserver for Ruth AI.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    serve = verbs.add_parser("serve", help="start tritonserver, watch it, register it with the gateway")
    _add_endpoint(serve, env)
    serve.add_argument("--model-repository", type=Path, required=True, metavar="DIR")
    serve.add_argument("--gateway", default=env.get("RUTH_AI_GATEWAY_URL"), metavar="URL")
    serve.add_argument("--model-control", type=ModelControl, choices=list(ModelControl), default=ModelControl.EXPLICIT)
    serve.add_argument("--load-model", action="append", default=[], metavar="NAME", help="only this model (repeatable)")
    serve.add_argument("--model-config-name", metavar="NAME", help="use configs/NAME.pbtxt where a model has it")
    serve.add_argument("--no-auto-complete", action="store_true", help="refuse incomplete model configurations")
    serve.add_argument(
        "--no-restart", action="store_true", help="exit with Triton's reason when it can't serve or dies"
    )
    serve.add_argument("--no-measure", action="store_true", help="declare models without measuring them first")
    serve.add_argument("--end-with", type=int, metavar="PID", help="stop when this process, its parent, ends")
    capabilities = verbs.add_parser("capabilities", help="measure what is served, and print what would be declared")
    _add_endpoint(capabilities, env)
    capabilities.add_argument("--json", action="store_true", help="as one JSON object")
    install = verbs.add_parser("install", help="install the local tritonserver")
    install.add_argument("--perf-analyzer", action="store_true", help="NVIDIA's perf_analyzer, too")
    perf = verbs.add_parser("perf-analyzer", help="run NVIDIA's perf_analyzer: ruth-triton perf-analyzer -- -m MODEL …")
    perf.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser


def _add_endpoint(parser: argparse.ArgumentParser, env: Mapping[str, str]) -> None:
    hardware = env.get("AI_RUNTIME_HARDWARE") or HardwareMode.AUTO
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--advertise-host", default=env.get("RUTH_AI_RUNTIME_HOST"), help="name others reach it under")
    parser.add_argument("--grpc-port", type=_port, default=positive(env, "AI_RUNTIME_PORT", MAX_PORT) or 8001)
    parser.add_argument("--http-port", type=_port, default=positive(env, "AI_RUNTIME_HTTP_PORT", MAX_PORT) or 8000)
    parser.add_argument("--metrics-port", type=_port, default=8002)
    parser.add_argument("--hardware", type=HardwareMode, choices=list(HardwareMode), default=hardware)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 1 to {MAX_PORT}")
    return int(text)


def _endpoint(arguments: argparse.Namespace) -> Endpoint:
    endpoint = Endpoint(
        arguments.host,
        arguments.grpc_port,
        arguments.http_port,
        arguments.metrics_port,
        arguments.advertise_host,
    )
    if len(set(endpoint.ports.values())) < len(endpoint.ports):
        raise UsageError(f"the three ports must differ: {endpoint.ports}")
    return endpoint


def _serve(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    from triton_agent.keeper import end_with_parent

    if arguments.end_with is not None and not end_with_parent(arguments.end_with):
        raise AgentError(f"process {arguments.end_with}, which was to be the parent of this one, is not")
    from triton_agent.agent import serve
    from triton_agent.logs import Log

    if not arguments.model_repository.is_dir():
        raise AgentError(f"--model-repository {arguments.model_repository} is not a folder")
    if not os.access(arguments.model_repository, os.R_OK | os.X_OK):
        raise AgentError(f"--model-repository {arguments.model_repository} can't be read by this user")
    serving = Serving(
        model_repository=arguments.model_repository.resolve(),
        endpoint=_endpoint(arguments),
        model_control=arguments.model_control,
        load_models=tuple(arguments.load_model),
        auto_complete=AutoComplete.OFF if arguments.no_auto_complete else AutoComplete.WHEN_NEEDED,
        on_failure=OnFailure.EXIT if arguments.no_restart else OnFailure.RESTART,
        model_config_name=arguments.model_config_name,
        measuring=Measuring.NEVER if arguments.no_measure else Measuring.WHEN_LOADED,
    )
    gateway = Gateway.from_environment(arguments.gateway, env) if arguments.gateway else None
    asyncio.run(serve(serving, arguments.hardware, gateway, env, Log.from_environment(env)))
    return 0


def _capabilities(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    from triton_agent.capabilities import declared_batch_size
    from triton_agent.hardware import detect
    from triton_agent.leftovers import measurement_region
    from triton_agent.measurements import Measurements
    from triton_agent.runtime import Runtime
    from triton_agent.triton_api import TritonApi

    endpoint, declared = _endpoint(arguments), Declared.from_environment(env)
    hardware = detect(arguments.hardware)
    api = TritonApi(endpoint.http_url)
    measurements = Measurements(api, declared_batch_size(declared, hardware.kind), measurement_region())
    runtime = Runtime(runtime_id(env, endpoint.grpc_port), endpoint, declared, lambda: hardware, api, measurements)
    runtime.set_up(up=True)  # where no server is running, nothing is served yet
    capabilities = asyncio.run(runtime.capabilities()).as_json()
    if arguments.json:
        print(json.dumps(capabilities))
    else:
        print("\n".join(f"{name}: {value}" for name, value in capabilities.items()))
    return 0


def _install(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    from triton_agent.install import install_perf_analyzer, install_tritonserver
    from triton_agent.locate import OFFICIAL, local_home

    home = local_home(env)
    if (OFFICIAL / "bin/tritonserver").is_file():
        _say(f"tritonserver is in place: {OFFICIAL}")
        return 0
    install_tritonserver(home, _say)
    if arguments.perf_analyzer:
        install_perf_analyzer(home, _say)
    return 0


def _say(message: str) -> None:
    print(f"ruth-triton: {message}", file=sys.stderr, flush=True)


def _perf_analyzer(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    from triton_agent.locate import local_home

    home = local_home(env).resolve() / "perf_analyzer"
    program = home / "bin/perf_analyzer"
    if not program.is_file():
        raise MissingError(f"no perf_analyzer in {home}: run `ruth-triton install --perf-analyzer`")
    options = arguments.arguments[1:] if arguments.arguments[:1] == ["--"] else arguments.arguments
    paths = os.pathsep.join(filter(None, [str(home), env.get("LD_LIBRARY_PATH")]))
    sys.stdout.flush()
    os.execve(program, [str(program), *options], {**env, "LD_LIBRARY_PATH": paths})  # noqa: S606 # no shell is wanted


if __name__ == "__main__":
    sys.exit(main())
