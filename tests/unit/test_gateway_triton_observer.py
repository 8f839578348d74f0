"""What is believed of a Triton's counters while its metrics fail now and then, and its models are loaded anew."""

import itertools
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from gateway.domain.load import load_between
from gateway.inference.control import Duration, Durations, InstanceGroup, ModelConfig, ModelStatistics
from gateway.inference.statistics import TritonObserver

PEOPLE = ("people", "1")


class Metrics(HTTPServer):
    """A server of Prometheus metrics; None: it fails."""

    refused: int | None = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/metrics"


class Answers(BaseHTTPRequestHandler):
    """One scrape."""

    server: Metrics

    def do_GET(self) -> None:
        if self.server.refused is None:
            self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
            return
        line = f'nv_inference_request_failure{{model="people",reason="REJECTED",version="1"}} {self.server.refused}\n'
        self.send_response(200)
        self.end_headers()
        self.wfile.write(line.encode())

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    with Metrics(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Counting:
    """A Triton's control that tells what a test wrote down."""

    def __init__(self) -> None:
        self.requests: int | None = 0
        self.instances = 1
        self.asked = 0

    async def statistics(self) -> list[ModelStatistics]:
        if self.requests is None:
            return []
        of_requests = Durations(success=Duration(self.requests, self.requests))
        return [ModelStatistics("people", "1", self.requests, of_requests)]

    async def config(self, model: str) -> ModelConfig:
        self.asked += 1
        return ModelConfig(name=model, instance_group=(InstanceGroup(count=self.instances),))


def an_observer(control: Counting, metrics_url: str | None = None) -> TritonObserver:
    async def choose() -> None:
        pass

    return TritonObserver(SimpleNamespace(choose=choose, control=control), metrics_url)  # type: ignore[arg-type]


async def refusals(metrics: Metrics, counted: list[int | None]) -> list[int | None]:
    """What is taken for new between looks, while the server has these counts; None: it can't be asked."""
    observer = an_observer(Counting(), metrics.url)
    looks = []
    for at_s, refused in enumerate(counted):
        metrics.refused = refused
        looks.append(await observer.look(at_s, 0, 0))
    loads = itertools.starmap(load_between, itertools.pairwise(looks))
    return [None if load is None else load.refused for load in loads]


async def test_refusals_are_counted_from_the_last_look_that_knew_them(metrics: Metrics):
    assert await refusals(metrics, [1000, 1002, None, None, 1005, 1005]) == [2, 0, 0, 3, 0]


async def test_what_was_refused_before_the_first_look_that_knows_is_not_new(metrics: Metrics):
    assert await refusals(metrics, [None, None, 1000, 1001]) == [0, 0, 1]


async def test_a_server_that_counts_from_nothing_again_says_nothing_of_the_time_between(metrics: Metrics):
    assert await refusals(metrics, [1000, 3, 4]) == [None, 1]


async def instances(observer: TritonObserver) -> int:
    return (await observer.look(0.0, 0, 0)).models[PEOPLE].instances


async def test_a_model_is_asked_once_for_its_instances_and_again_when_it_was_loaded_anew():
    control = Counting()
    observer = an_observer(control)
    assert await instances(observer) == 1
    control.requests, control.instances = 10, 2
    for _ in range(3):
        assert await instances(observer) == 2
    assert control.asked == 1
    control.requests, control.instances = 4, 3  # loaded anew, and used since
    assert await instances(observer) == 3
    control.requests = None  # unloaded
    assert not (await observer.look(0.0, 0, 0)).models
    control.requests, control.instances = 50, 4
    assert await instances(observer) == 4
    assert control.asked == 3


async def test_a_model_that_was_loaded_anew_before_it_was_used_is_known_as_it_is_then():
    control = Counting()
    observer = an_observer(control)
    await instances(observer)
    control.instances = 4
    await instances(observer)
    control.requests = 1
    assert await instances(observer) == 4


async def test_metrics_that_are_no_http_do_not_end_the_look(metrics: Metrics):
    metrics.refused = None
    assert (await an_observer(Counting(), metrics.url).look(0.0, 0, 0)).refused is None
