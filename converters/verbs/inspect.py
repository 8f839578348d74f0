"""`ruth-convert inspect MODEL`: what a file is, what it costs to run, and which families it is of."""

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from converters.arguments import add_model, add_size
from converters.verbs.answer import Answer, Report

if TYPE_CHECKING:
    from converters.engine_header import EngineHeader
    from converters.families import Recognition
    from converters.onnx_file import OnnxFile

HELP = "say what a model is and which family it is of"


def add(sub: argparse.ArgumentParser) -> None:
    """Add its options."""
    add_model(sub)
    add_size(sub)


def run(parsed: argparse.Namespace, report: Report) -> Answer:
    """Read the file and ask every family about it."""
    from converters.engine_header import read_header
    from converters.families import recognise
    from converters.families.picture_size import at_size
    from converters.fuse import opset_of
    from converters.inspection import inspect
    from converters.model_source import read_model

    engine = read_header(parsed.model)
    if engine is not None:
        return _engine(parsed.model.name, engine)
    file = at_size(read_model(parsed.model, parsed.example, None, report), parsed.size)
    opset = opset_of(file.model)
    inspection = inspect(file.model, opset)
    verdicts = recognise(file)
    facts = _facts(file, opset)
    fitting = [name for name, verdict in verdicts.items() if verdict.fits]
    value = {
        **facts,
        "inputs": [str(tensor) for tensor in file.inputs],
        "outputs": [str(tensor) for tensor in file.outputs],
        **asdict(inspection),
        "families": {name: asdict(verdict) for name, verdict in verdicts.items()},
        "family": fitting[0] if len(fitting) == 1 else None,
    }
    lines = [f"{key:<11} {fact}" for key, fact in facts.items()]
    lines += [f"input       {tensor}" for tensor in file.inputs]
    lines += [f"output      {tensor}" for tensor in file.outputs]
    return Answer(value=value, lines=[*lines, *inspection.lines(), *_verdict_lines(verdicts)])


def _facts(file: "OnnxFile", opset: int) -> dict[str, Any]:
    return {
        "file": file.name,
        "sha256": file.sha256,
        "bytes": len(file.data),
        "ir_version": file.ir_version,
        "opset": opset,
        "operators": len(file.model.graph.node),
        **dict(file.origin),
    }


def _verdict_lines(verdicts: "Mapping[str, Recognition]") -> list[str]:
    """Return what is fitting first, and families together that say the same."""
    alike: dict[Recognition, list[str]] = {}
    for name, verdict in sorted(verdicts.items(), key=lambda item: not item[1].fits):
        alike.setdefault(verdict, []).append(name)
    return [
        f"{'is' if verdict.fits else 'is not':<11} {', '.join(names)}: {verdict.why}"
        for verdict, names in alike.items()
    ]


def _engine(name: str, engine: "EngineHeader") -> Answer:
    value = {"file": name, "engine": engine.fields, "refusal": engine.refusal}
    return Answer(value=value, lines=[f"{name} is {engine.refusal}", *engine.lines()])
