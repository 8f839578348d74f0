"""A model that no family decodes, published for direct calls: its own tensors, no `ruth.contract`."""

from pathlib import Path

from converters import manifest, triton_config
from converters.fuse import opset_of
from converters.model_source import read_model
from converters.onnx_file import OnnxFile
from converters.parity import Difference
from converters.progress import Report
from converters.publish import Publication, Request, switch_to
from converters.raw import RawModel, raw_model
from converters.raw_trial import raw_config, try_raw_in_triton
from converters.repository import Repository, digest
from converters.spec import Source, checked_name
from converters.stage import Content, staged
from converters.targets import check_opset
from converters.up_to_date import load_again, stands

FAMILY = "raw"


def publish_raw(model: Path, licence: str | None, request: Request, report: Report) -> Publication:
    """Publish a network as it is, with a dynamic batch where that can be shown to work.

    Raises:
        ConvertError: It can't be used, Triton can't run it, or there is no Triton; nothing was published.
    """
    name = checked_name(request.name)
    report(f"read {model.name}")
    file = read_model(model, request.example, request.pictures, report)
    check_opset(request.serving.target, opset_of(file.model), file.name)
    report("run it with random tensors, singly and in a batch")
    raw = raw_model(file)
    source = _source(file, raw, licence)
    repository = Repository(request.repository)
    current = repository.published_version(name)
    if current is not None and _same(repository, _identity(request, source, current, raw), raw, request):
        load_again(request.server, name, current, report, dry_run=request.dry_run)
        return _publication(request, source, current, digest(raw.data), "up to date")
    if request.server is not None:
        request.server.check()
    with staged(repository, lambda: report("wait for another ruth-convert")) as stage:
        version = stage.next_version(name)
        config = raw_config(raw, request.serving, _identity(request, source, version, raw))
        record = manifest.render(_record(request, source, version, raw))
        stage.write(name, version, Content(model=raw.data, config=config, manifest=record))
        report("load in a real Triton and compare")
        through_triton = try_raw_in_triton(stage.root, name, version)
        if not request.dry_run:
            switch_to(stage, name, version, request.server)
    outcome = "dry run" if request.dry_run else "published"
    return _publication(request, source, version, digest(raw.data), outcome, through_triton)


def _identity(request: Request, source: Source, version: int, raw: RawModel) -> triton_config.Identity:
    return triton_config.Identity(
        name=request.name, version=version, source_sha256=source.sha256, model_sha256=digest(raw.data)
    )


def _same(repository: Repository, identity: triton_config.Identity, raw: RawModel, request: Request) -> bool:
    wanted = raw_config(raw, request.serving, identity)
    return stands(repository, identity, wanted, request.serving, raw.data)


def _source(file: OnnxFile, raw: RawModel, licence: str | None) -> Source:
    batch = "each index of a batch answers as it does alone" if raw.batched else "it has no batch axis of any size"
    return Source(
        name=file.name,
        sha256=file.sha256,
        licence=licence,
        family=FAMILY,
        why=f"asked for; {batch}",
        details=file.origin,
    )


def _publication(
    request: Request,
    source: Source,
    version: int,
    model_sha256: str,
    outcome: str,
    through_triton: Difference | None = None,
) -> Publication:
    return Publication(
        name=request.name,
        version=version,
        folder=request.repository / request.name / str(version),
        outcome=outcome,
        family=source.family,
        why=source.why,
        model_sha256=model_sha256,
        triton=through_triton,
    )


def _record(request: Request, source: Source, version: int, raw: RawModel) -> manifest.Record:
    return manifest.Record(
        name=request.name,
        version=version,
        created_at=request.now,
        command=request.command,
        converter=triton_config.converter_version(),
        source=source,
        spec=None,
        serving=request.serving,
        model_sha256=digest(raw.data),
        parity={"batched": raw.batched},
        pictures={},
    )
