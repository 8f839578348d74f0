"""From a published ONNX model to a TensorRT plan beside it: built here or in the target image, checked, laid down."""

import shlex
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from converters import integrity, manifest, plan_layout, triton_config
from converters.build_engine import Builder, local_builder
from converters.cuda_device import Gpu, local_gpu
from converters.engine_options import BatchProfile, EngineOptions, timing_cache_name
from converters.errors import MissingError, ModelError
from converters.image_build import MODEL_FILE, PLAN_FILE, build, build_command
from converters.image_probe import EVERY_GPU, JETSON_GPU, ImageFacts, Runner, docker_usable, has_image, probe, run
from converters.plan_layout import PlanRecord
from converters.plan_store import add_plan
from converters.progress import Report
from converters.repository import Repository, digest
from converters.spec import Target
from converters.stage import staged
from converters.targets import Image, version_numbers

_TRTEXEC = "/usr/src/tensorrt/bin/trtexec"
DECLARED_BATCH = {Target.CUDA: 4, Target.L4T: 2}
"""What runtimes declare as their batch (the agent's `capabilities.LIMITS`); a plan is tuned for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What the user asked for.

    Attributes:
        name: Published model.
        repository: Folder that Triton serves from.
        target: Machine that will serve the plan.
        image: That will load it.
        in_image: Build inside it, not here.
        profile: Batch sizes; None takes the model's.
        workspace_mib: See `EngineOptions`, as for the next three.
        builder_level: Effort.
        hardware_compatible: Other architectures.
        version_compatible: Later versions.
        timing_cache: Folder of timing caches and of builds in an image.
        now: Aware time.
        dry_run: Build, and lay nothing down.
    """

    name: str
    repository: Path
    target: Target
    image: Image
    in_image: bool
    profile: BatchProfile | None
    workspace_mib: int | None
    builder_level: int | None
    hardware_compatible: bool
    version_compatible: bool
    timing_cache: Path
    now: datetime
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPublication:
    """What came of it.

    Attributes:
        name: Model.
        version: Whose folder holds the plan.
        outcome: `built`, `up to date` or `dry run`.
        plan: What the manifest says of it.
        command: That built it in an image; None for a build here.
    """

    name: str
    version: int
    outcome: str
    plan: PlanRecord
    command: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A build that is about to start: the model, its frames and what a plan of it is called."""

    request: PlanRequest
    folder: Path
    version: int
    onnx_sha256: str
    frame_shape: tuple[int, int]
    options: EngineOptions


def make_plan(
    request: PlanRequest,
    report: Report,
    runner: Runner = run,
    builder: Callable[[], Builder] = local_builder,
    gpu: Callable[[], Gpu] = local_gpu,
) -> PlanPublication:
    """Build a plan from a published model, or find that it is there already.

    Args:
        request: What to build.
        report: Told what begins.
        runner: Runs Docker.
        builder: Gives TensorRT.
        gpu: Gives the GPU of this machine.

    Raises:
        ModelError: The model or the image can't be used, the build failed, or TensorRT's versions differ.
        MissingError: There is no GPU with TensorRT, or no Docker; the message holds the command that would build.
    """
    job = _job(request)
    if not request.in_image:
        return _build_here(job, report, runner, builder, gpu)
    if not docker_usable(runner):
        raise MissingError(f"no Docker daemon answers here. {_where_else(job)}")
    return _build_in_image(job, report, runner)


def _job(request: PlanRequest) -> _Job:
    repository = Repository(request.repository)
    version = repository.served_version(request.name)
    folder = request.repository / request.name / str(version)
    integrity.check(folder)
    config = triton_config.parse(repository.config(request.name) or "")
    if "ruth.contract" not in triton_config.parameters_of(config):
        raise ModelError(f"{request.name} is outside the model contract; plans are built of models within it alone")
    spec = triton_config.spec_of(config)
    largest = int(config.get("max_batch_size", 0))
    if largest < 1:
        raise ModelError(f"{request.name} has no batch axis (max_batch_size is 0); publish it again")
    best = min(largest, DECLARED_BATCH[request.target])
    return _Job(
        request=request,
        folder=folder,
        version=version,
        onnx_sha256=digest(repository.model_bytes(request.name, version)),
        frame_shape=spec.frame_shape,
        options=EngineOptions(
            profile=request.profile or BatchProfile(min=1, opt=best, max=largest),
            workspace_mib=request.workspace_mib,
            builder_level=request.builder_level,
            hardware_compatible=request.hardware_compatible,
            version_compatible=request.version_compatible,
        ),
    )


def _build_here(
    job: _Job, report: Report, runner: Runner, builder: Callable[[], Builder], gpu: Callable[[], Gpu]
) -> PlanPublication:
    request = job.request
    try:
        tool, device = builder(), gpu()
    except MissingError as error:
        raise MissingError(f"{error}, so no plan can be built here. {_where_else(job)}") from error
    loading, probed = _loading(request.image, report, runner)
    check_versions(tool.version, loading.tensorrt, request.image, version_compatible=request.version_compatible)
    facts = ImageFacts(tensorrt=tool.version, cuda=loading.cuda, trtexec="", driver=device.driver)
    known = _known(job, facts.tensorrt, device.compute_capability)
    if known is not None:
        return PlanPublication(name=request.name, version=job.version, outcome="up to date", plan=known)
    cache = request.timing_cache / timing_cache_name(tool.version, device.name)
    report(f"build with TensorRT {tool.version} for {device.name} ({device.compute_capability})")
    plan = tool.build((job.folder / MODEL_FILE).read_bytes(), job.frame_shape, job.options, cache)
    record = _record(job, plan, facts, device.name, device.compute_capability, cache, probed=probed)
    return _publish(job, plan, record, report, None)


def _build_in_image(job: _Job, report: Report, runner: Runner) -> PlanPublication:
    request = job.request
    report(f"ask {request.image.reference} what it carries")
    facts = probe(request.image.reference, runner, _devices(request))
    known = _known(job, facts.tensorrt, facts.compute_capability)
    if known is not None:
        return PlanPublication(name=request.name, version=job.version, outcome="up to date", plan=known)
    work = _work_folder(job)
    cache = timing_cache_name(facts.tensorrt, facts.gpu or request.target.value)
    command = build_command(
        request.image.reference, work, facts, job.options, job.frame_shape, cache, _devices(request)
    )
    try:
        _lay_out(job, work, cache)
        report(f"build with TensorRT {facts.tensorrt} in {request.image.reference}")
        built = build(command, runner)
        plan = (work / PLAN_FILE).read_bytes()
        check_versions(built.tensorrt, facts.tensorrt, request.image, version_compatible=False)
        if (work / cache).is_file():
            shutil.copyfile(work / cache, request.timing_cache / cache)
        kept = request.timing_cache / cache
        record = _record(job, plan, facts, built.gpu, built.compute_capability, kept, probed=True)
    except OSError as error:
        raise ModelError(f"{work} can't be used ({error.strerror}); name another folder by --timing-cache") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return _publish(job, plan, record, report, shlex.join(command))


def check_versions(built_by: str, loaded_by: str, image: Image, *, version_compatible: bool) -> None:
    """Refuse a plan that its image can't load.

    Args:
        built_by: TensorRT that builds.
        loaded_by: TensorRT of the image.
        image: The image.
        version_compatible: Later versions of TensorRT load it too, the next major one included.

    Raises:
        ModelError: The versions differ in a part that both have.
    """
    one, other = version_numbers(built_by), version_numbers(loaded_by)
    parts = min(len(one), len(other))
    if parts >= 3 and one[:parts] == other[:parts]:
        return
    if version_compatible and one <= other and other[0] - one[0] <= 1:
        return
    raise ModelError(
        f"TensorRT {built_by} would build a plan that {image.reference or image.tag} can't load: it carries "
        f"{loaded_by or 'an unknown one'}. Build it there: --in-image {image.tag}; or, if another is to load it, name "
        "that: --image TAG"
    )


def _loading(image: Image, report: Report, runner: Runner) -> tuple[ImageFacts, bool]:
    """Return what an image carries and whether it said so itself, which it is asked where that is no download."""
    if image.reference and docker_usable(runner) and has_image(image.reference, runner):
        report(f"ask {image.reference} what it carries")
        return probe(image.reference, runner, ()), True
    if not image.tensorrt or "tensorrt" in image.inferred:
        raise MissingError(
            f"which TensorRT {image.reference or image.tag} carries is not certain, and it is not here to be asked: "
            f"docker pull {image.reference or image.tag}"
        )
    return ImageFacts(tensorrt=image.tensorrt, cuda=image.cuda, trtexec=""), False


def _known(job: _Job, tensorrt: str, compute_capability: str) -> PlanRecord | None:
    """Return the plan that is there already for the same graph, options, TensorRT and kind of GPU."""
    wanted = (job.onnx_sha256, tensorrt, compute_capability, asdict(job.options.profile), _options(job))
    for plan in plan_layout.plans_of(manifest.read(job.folder)):
        found = (plan.onnx_sha256, plan.tensorrt, plan.compute_capability, dict(plan.profile), dict(plan.options))
        if found == wanted:
            return plan
    return None


def _options(job: _Job) -> dict[str, object]:
    return {key: value for key, value in asdict(job.options).items() if key != "profile"}


def _record(
    job: _Job, plan: bytes, facts: ImageFacts, gpu: str, capability: str, cache: Path, *, probed: bool
) -> PlanRecord:
    image = job.request.image
    return PlanRecord(
        file=plan_layout.plan_file(capability, hardware_compatible=job.options.hardware_compatible),
        sha256=digest(plan),
        onnx_sha256=job.onnx_sha256,
        tensorrt=facts.tensorrt,
        cuda=facts.cuda,
        driver=facts.driver,
        gpu=gpu,
        compute_capability=capability,
        image=image.reference or image.tag,
        image_probed=probed,
        profile=asdict(job.options.profile),
        options=_options(job),
        timing_cache_sha256=integrity.sha256_of(cache) if cache.is_file() else "",
        built_at=job.request.now.isoformat(timespec="seconds"),
    )


def _publish(job: _Job, plan: bytes, record: PlanRecord, report: Report, command: str | None) -> PlanPublication:
    request = job.request
    repository = Repository(request.repository)
    if request.dry_run:
        return PlanPublication(name=request.name, version=job.version, outcome="dry run", plan=record, command=command)
    with staged(repository, lambda: report("wait for another ruth-convert")) as stage:
        if repository.served_version(request.name) != job.version:
            raise ModelError(f"another version of {request.name} was published meanwhile; build its plan")
        report(f"publish {job.folder / record.file}")
        stage.root.mkdir(parents=True, exist_ok=True)
        add_plan(request.repository / request.name, job.version, stage.root, plan, record)
    return PlanPublication(name=request.name, version=job.version, outcome="built", plan=record, command=command)


def _where_else(job: _Job) -> str:
    """Say what would build it: the same command where Docker and a GPU are, and what it would run there."""
    request = job.request
    if not request.image.reference or not request.image.tensorrt:
        return "Build it on the device itself, where TensorRT is."
    facts = ImageFacts(tensorrt=request.image.tensorrt, cuda=request.image.cuda, trtexec=_TRTEXEC)
    cache = timing_cache_name(facts.tensorrt, request.target.value)
    command = build_command(
        request.image.reference, _work_folder(job), facts, job.options, job.frame_shape, cache, _devices(request)
    )
    return (
        f"Repeat it with --in-image {request.image.tag} on a machine with an NVIDIA GPU and Docker, where it runs\n  "
        f"{shlex.join(command)}"
    )


def _devices(request: PlanRequest) -> tuple[str, str]:
    return JETSON_GPU if request.target is Target.L4T else EVERY_GPU


def _work_folder(job: _Job) -> Path:
    """Return the folder that a container shares; a tag may be a whole reference, with slashes and a colon."""
    tag = "".join(character if character.isalnum() or character in ".-" else "_" for character in job.request.image.tag)
    return job.request.timing_cache.resolve() / f"{job.request.name}-{job.version}-{tag}"


def _lay_out(job: _Job, work: Path, cache: str) -> None:
    """Make the folder that the container sees: the model and what earlier builds measured."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    shutil.copyfile(job.folder / MODEL_FILE, work / MODEL_FILE)
    kept = job.request.timing_cache / cache
    if kept.is_file():
        shutil.copyfile(kept, work / cache)
