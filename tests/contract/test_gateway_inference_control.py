"""What every control of Triton does, with a real one: what it tells and changes, and says when it is away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from gateway.errors import InferenceRejectedError, RuntimeUnavailableError
from gateway.inference.contract import read_contract
from gateway.inference.control import TritonControl
from gateway.inference.grpc_control import GrpcControl
from gateway.inference.http_control import HttpControl
from gateway.inference.http_transport import HttpTransport
from gateway.inference.shared_memory import SharedRegion
from tests.support.contract_models import HEIGHT, WIDTH, publish_blind
from tests.support.triton_server import RunningTriton, running_triton

REGION_BYTES = 4096
Call = Callable[[TritonControl], Awaitable[object]]
CALLS: dict[str, Call] = {
    "ready": lambda control: control.is_ready(),
    "index": lambda control: control.index(),
    "config": lambda control: control.config("people"),
    "statistics": lambda control: control.statistics(),
    "load": lambda control: control.load("people"),
    "unload": lambda control: control.unload("people"),
    "register": lambda control: control.register("region", 10),
    "registered": lambda control: control.is_registered("region"),
    "unregister": lambda control: control.unregister("region"),
}
MAKE: dict[str, Callable[[str, str], TritonControl]] = {
    "grpc": lambda grpc_url, _: GrpcControl(grpc_url),
    "http": lambda _, http_url: HttpControl(HttpTransport(http_url)),
}


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    repository: Path = tmp_path_factory.mktemp("repository")
    publish_blind(repository, "people")
    publish_blind(repository, "spare")
    with running_triton(repository, load=["people"]) as running:
        yield running


@pytest.fixture(params=MAKE)
def make(request: pytest.FixtureRequest) -> Callable[[str, str], TritonControl]:
    return MAKE[request.param]


@pytest.fixture
async def control(make: Callable[[str, str], TritonControl], triton: RunningTriton) -> AsyncIterator[TritonControl]:
    made = make(triton.grpc_url, triton.http_url)
    yield made
    await made.close()


async def test_a_server_that_serves_is_ready(control: TritonControl) -> None:
    assert await control.is_ready()


async def test_the_index_names_loaded_models_and_those_that_are_not(control: TritonControl) -> None:
    index = {served.name: served for served in await control.index()}
    assert (index["people"].ready, index["people"].version) == (True, "1")
    assert not index["spare"].ready


async def test_a_configuration_gives_the_contract(control: TritonControl) -> None:
    config = await control.config("people")
    contract = read_contract(config, "1")
    assert (contract.name, contract.input_wh, contract.max_batch_size) == ("people", (WIDTH, HEIGHT), 4)
    assert sum(group.count for group in config.instance_group) >= 1


async def test_statistics_count_every_loaded_model(control: TritonControl) -> None:
    (people,) = [entry for entry in await control.statistics() if entry.name == "people"]
    assert (people.version, people.inference_count, people.inference_stats.success.count) == ("1", 0, 0)
    assert all(batch.compute_infer.ns > 0 for batch in people.batch_stats)


async def test_a_model_is_loaded_and_unloaded(control: TritonControl) -> None:
    async def ready() -> bool:
        return any(served.ready for served in await control.index() if served.name == "spare")

    await control.load("spare")
    assert await ready()
    assert (await control.config("spare")).name == "spare"
    await control.unload("spare")
    async with asyncio.timeout(10):
        while await ready():  # noqa: ASYNC110 - Triton unloads behind our back
            await asyncio.sleep(0.02)


async def test_a_region_is_known_from_its_registration_to_its_end(control: TritonControl) -> None:
    region = SharedRegion(REGION_BYTES)
    try:
        await control.register(region.name, REGION_BYTES)
        assert await control.is_registered(region.name)
        await control.unregister(region.name)
        assert not await control.is_registered(region.name)
    finally:
        region.close()


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (lambda control: control.config("ghosts"), "ghosts"),
        (lambda control: control.load("ghosts"), "ghosts"),
        (lambda control: control.register("ruth_nowhere", 10), "ruth_nowhere"),
    ],
    ids=["configuration", "load", "region"],
)
async def test_a_refusal_is_told_in_the_servers_words(control: TritonControl, refused: Call, reason: str) -> None:
    with pytest.raises(InferenceRejectedError, match=reason):
        await refused(control)


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_on_a_closed_connection_says_that_the_runtime_is_away(
    make: Callable[[str, str], TritonControl], name: str
) -> None:
    control = make("127.0.0.1:1", "http://127.0.0.1:1")
    await control.close()
    with pytest.raises(RuntimeUnavailableError, match="closed"):
        await CALLS[name](control)


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_to_nobody_says_that_the_runtime_is_away(
    make: Callable[[str, str], TritonControl], name: str
) -> None:
    control = make("127.0.0.1:1", "http://127.0.0.1:1")
    try:
        with pytest.raises(RuntimeUnavailableError, match="can't be reached"):
            await CALLS[name](control)
    finally:
        await control.close()
