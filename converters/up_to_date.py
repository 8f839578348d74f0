"""Whether a published version is what a request would publish again, and having it loaded where a server is given.

How a model is served may have been changed since, by `tune` or by hand: what its manifest says of the request that made
it counts for that, not what config.pbtxt says by now.
"""

import json
from dataclasses import asdict
from typing import Any

from converters import manifest, triton_config
from converters.errors import ModelError
from converters.live_server import LiveServer
from converters.progress import Report
from converters.repository import Repository
from converters.spec import Serving

_OURS = "ruth."
_SERVING_FIELDS = {"max_batch_size", "instance_group", "dynamic_batching", "optimization", "model_warmup"}
"""Of config.pbtxt: how the model is served."""


def stands(
    repository: Repository, identity: triton_config.Identity, wanted: str, serving: Serving, data: bytes
) -> bool:
    """Tell whether a served version has this model file, and this configuration or one that was made of it.

    Args:
        repository: Where it is published.
        identity: Of the version.
        wanted: Text of the config.pbtxt that would be published.
        serving: What the request asks for.
        data: Of `model.onnx`.

    Raises:
        ModelError: A file of it can't be read.
    """
    text = repository.config(identity.name)
    if text is None or repository.model_bytes(identity.name, identity.version) != data:
        return False
    return text == wanted or (_facts(text) == _facts(wanted) and _asked_for(repository, identity, serving))


def load_again(server: LiveServer | None, name: str, version: int, report: Report, *, dry_run: bool) -> None:
    """Have a server serve a version that is published already; only ask whether it answers, in a dry run.

    Raises:
        MissingError: It doesn't answer.
        ModelError: It can't serve the version.
    """
    if server is None:
        return
    server.check()
    if not dry_run:
        report(f"load version {version}, which is up to date, in {server.grpc_url}")
        server.load(name, version)


def _facts(config: str) -> dict[str, Any]:
    """Return what a config.pbtxt says of the model itself: all but how it is served, and our own parameters."""
    fields = triton_config.parse(config)
    ours = {key: value for key, value in triton_config.parameters_of(fields).items() if key.startswith(_OURS)}
    return {key: value for key, value in fields.items() if key not in _SERVING_FIELDS} | {"parameters": ours}


def _asked_for(repository: Repository, identity: triton_config.Identity, serving: Serving) -> bool:
    """Tell whether a version was published by a request for the same serving."""
    try:
        record = manifest.read(repository.root / identity.name / str(identity.version))
    except ModelError:  # publishing again is what mends it
        return False
    return bool(record.get("serving") == json.loads(json.dumps(asdict(serving))))
