"""From a built model to a published one: verify, stage, load in a real Triton, compare, publish. In that order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from converters import families, manifest, triton_config
from converters.errors import ModelError
from converters.families.picture_size import at_size
from converters.fuse import opset_of
from converters.live_server import LiveServer
from converters.model_source import read_model
from converters.parity import Difference
from converters.pictures import PictureSet, load_pictures, nv12_of, on_canvas, render_pictures
from converters.precision import in_precision
from converters.precision_options import PrecisionOptions
from converters.progress import Report
from converters.quarter_turns import with_quarter_turns
from converters.repository import Repository, digest
from converters.spec import BuiltModel, ModelSpec, Serving, View, checked_name
from converters.stage import Content, Stage, staged
from converters.switch import load_or_restore
from converters.targets import check_opset
from converters.trial import try_in_triton
from converters.up_to_date import load_again, stands
from converters.verify import Parity, verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for.

    Attributes:
        name: Model name in the repository.
        repository: Folder that Triton serves from.
        serving: How Triton is to run it.
        pictures: Folder of pictures to verify with; None renders some.
        example: What a network of PyTorch is traced with, as `pytorch_example` reads it.
        command: The command line, for the manifest.
        now: Aware time of the publication.
        dry_run: Do everything but publish.
        warmup: Have Triton run a real frame in each batch size before it calls the model ready.
        server: A running Triton of the repository that is told to load the version, a new one or the one that is up to
            date; a new one that it can't serve is taken back.
    """

    name: str
    repository: Path
    serving: Serving
    pictures: Path | None
    command: Sequence[str]
    now: datetime
    dry_run: bool = False
    example: str | None = None
    warmup: bool = False
    server: LiveServer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What came of a request.

    Attributes:
        name: Model name.
        version: The published version, or the one that was up to date.
        folder: Where it lies; where it would, after a dry run.
        outcome: `published`, `up to date` or `dry run`.
        family: Family or builtin.
        why: What showed the family.
        model_sha256: Hex digest of `model.onnx`.
        parity: Figures against the original; None when up to date.
        triton: Figures of Triton against ONNX Runtime; None when up to date.
        precision: What another precision than FP32 cost and gained; empty for FP32.
    """

    name: str
    version: int
    folder: Path
    outcome: str
    family: str
    why: str
    model_sha256: str
    parity: Parity | None = None
    triton: Difference | None = None
    precision: Mapping[str, object] = field(default_factory=dict[str, object])


def convert_onnx(
    model: Path,
    family: str,
    options: families.BuildOptions,
    request: Request,
    report: Report,
    view: View = View.UPRIGHT,
    precision: PrecisionOptions | None = None,
) -> Publication:
    """Convert what was trained, an ONNX file or a network of PyTorch, and publish it.

    Raises:
        ConvertError: It can't be used, or something needed is missing; nothing was published.
    """
    checked_name(request.name)
    return publish(_built(model, family, options, request, report, view, precision), request, report)


def _built(
    model: Path,
    family: str,
    options: families.BuildOptions,
    request: Request,
    report: Report,
    view: View,
    precision: PrecisionOptions | None,
) -> BuiltModel:
    """Return what is to be published; the file itself isn't held any longer than that."""
    report(f"read {model.name}")
    file = at_size(read_model(model, request.example, request.pictures, report), options.size)
    check_opset(request.serving.target, opset_of(file.model), file.name)
    chosen, recognition = families.choose(file, family, options.description)
    report(f"fuse as {chosen.name}: {recognition.why}")
    built = chosen.build(file, options)
    if view is View.ROT90:
        report("put the quarter turns in front, and their merging behind")
        built = with_quarter_turns(built)
    if precision is not None:
        built = in_precision(built, precision, request.serving.target, _pictures(request), report)
    return built


def publish(built: BuiltModel, request: Request, report: Report) -> Publication:
    """Verify a built model, try it in a real Triton and publish it, or find that it is published already.

    Raises:
        ConvertError: It disagrees with its original, Triton can't run it, or there is no Triton; nothing was published.
    """
    name = checked_name(request.name)
    repository = Repository(request.repository)
    data = built.model.SerializeToString(deterministic=True)
    pictures = _pictures(request)
    warmup = _warmup(built.spec, pictures) if request.warmup else {}
    request = replace(request, serving=replace(request.serving, warmup_file=next(iter(warmup), "")))
    current = _up_to_date(repository, name, built, request.serving, data)
    if current is not None:
        load_again(request.server, name, current.version, report, dry_run=request.dry_run)
        return current
    if request.server is not None:
        request.server.check()
    report(f"verify against the original on {len(pictures.names)} pictures")
    parity = verify(built, pictures, report)
    with staged(repository, lambda: report("wait for another ruth-convert")) as stage:
        version = stage.next_version(name)
        record = _record(built, request, version, digest(data), parity, pictures)
        config = triton_config.render(built.spec, request.serving, _identity(record))
        stage.write(name, version, Content(model=data, config=config, manifest=manifest.render(record), warmup=warmup))
        source, figures = built.source, built.figures
        del built, data  # whose memory Triton can use: it loads the model twice
        report("load in a real Triton and compare")
        through_triton = try_in_triton(stage.root, name, version, pictures, report)
        folder = repository.root / name / str(version)
        if not request.dry_run:
            report(f"publish {folder}")
            folder = switch_to(stage, name, version, request.server)
    return Publication(
        name=name,
        version=version,
        folder=folder,
        outcome="dry run" if request.dry_run else "published",
        family=source.family,
        why=source.why,
        model_sha256=record.model_sha256,
        parity=parity,
        triton=through_triton,
        precision=figures,
    )


def switch_to(stage: Stage, name: str, version: int, server: LiveServer | None) -> Path:
    """Switch to the staged version; with a server, only if that can serve it."""
    previous = stage.repository.config(name)
    folder = stage.publish(name, version)
    if server is not None:
        try:
            load_or_restore(stage, name, version, previous, server)
        except (ModelError, KeyboardInterrupt):
            stage.withdraw(name, version)
            raise
    return folder


def _pictures(request: Request) -> PictureSet:
    return load_pictures(request.pictures) if request.pictures else render_pictures()


def _warmup(spec: ModelSpec, pictures: PictureSet) -> dict[str, bytes]:
    """Return the first picture as an NV12 frame, under a name that its content gives."""
    frame = nv12_of(on_canvas(pictures.pictures[0], spec)).tobytes()
    return {f"frame_{digest(frame)[:12]}.nv12": frame}


def _up_to_date(
    repository: Repository, name: str, built: BuiltModel, serving: Serving, data: bytes
) -> Publication | None:
    """Return the served version if the same request made it: same graph, same facts of it, same serving asked for."""
    version = repository.published_version(name)
    if version is None:
        return None
    identity = triton_config.Identity(
        name=name, version=version, source_sha256=built.source.sha256, model_sha256=digest(data)
    )
    wanted = triton_config.render(built.spec, serving, identity)
    if not stands(repository, identity, wanted, serving, data):
        return None
    return Publication(
        name=name,
        version=version,
        folder=repository.root / name / str(version),
        outcome="up to date",
        family=built.source.family,
        why=built.source.why,
        model_sha256=identity.model_sha256,
    )


def _identity(record: manifest.Record) -> triton_config.Identity:
    return triton_config.Identity(
        name=record.name,
        version=record.version,
        source_sha256=record.source.sha256,
        model_sha256=record.model_sha256,
    )


def _record(
    built: BuiltModel, request: Request, version: int, model_sha256: str, parity: Parity, pictures: PictureSet
) -> manifest.Record:
    return manifest.Record(
        name=request.name,
        version=version,
        created_at=request.now,
        command=request.command,
        converter=triton_config.converter_version(),
        source=built.source,
        spec=built.spec,
        serving=request.serving,
        model_sha256=model_sha256,
        parity=parity.as_record(),
        pictures={"names": pictures.names, "sha256": pictures.sha256, "synthetic": pictures.synthetic},
        precision=built.figures,
    )
