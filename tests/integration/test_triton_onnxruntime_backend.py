"""The Python-based onnxruntime backend inside a real tritonserver."""

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from onnx import TensorProto
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from tests.support.triton_models import CENSUS_TENSORS, above_zero, census, identity, lookup, publish
from tests.support.triton_server import RunningTriton, running_triton

TYPES = ("BOOL", "UINT8", "INT8", "INT32", "INT64", "FLOAT16", "FLOAT", "DOUBLE")
# A batch waits long enough for its four requests to come together, and goes off when they have.
FOUR = "dynamic_batching { preferred_batch_size: 4 max_queue_delay_microseconds: 1000000 }\n"
ONE_CPU = "instance_group { kind: KIND_CPU count: 1 }\n"


@pytest.fixture(scope="module")
def triton(tmp_path_factory):
    repository = tmp_path_factory.mktemp("repository")
    batched = "max_batch_size: 8\n" + FOUR + ONE_CPU
    publish(repository, "census", census(), batched + CENSUS_TENSORS)
    ragged = CENSUS_TENSORS.replace("dims: [-1] }\noutput", "dims: [-1] allow_ragged_batch: true }\noutput", 1)
    publish(repository, "ragged", census(), batched + ragged)
    publish(repository, "alone", census(), "max_batch_size: 0\n" + ONE_CPU + CENSUS_TENSORS.replace("[", "[-1, "))
    publish(
        repository,
        "above_zero",
        above_zero(),
        "max_batch_size: 0\n"
        'input { name: "x" data_type: TYPE_FP32 dims: [-1] }\n'
        'output { name: "where" data_type: TYPE_INT64 dims: [1, -1] }\n'
        'output { name: "most" data_type: TYPE_FP32 dims: [1] }\n',
    )
    publish(
        repository,
        "lookup",
        lookup(),
        batched
        + 'input { name: "index" data_type: TYPE_INT64 dims: [1] }\n'
        + 'output { name: "value" data_type: TYPE_FP32 dims: [1] }\n',
    )
    for kind in TYPES:
        tensors = "".join(
            f'{name} {{ name: "{name}" data_type: {triton_type(kind)} dims: [3] }}\n' for name in ("input", "output")
        )
        publish(
            repository,
            f"identity_{kind}",
            identity(getattr(TensorProto, kind)),
            "max_batch_size: 8\n" + ONE_CPU + tensors,
        )
    for count in (1, 4):
        threads = f'parameters {{ key: "intra_op_thread_count" value {{ string_value: "{count}" }} }}\n'
        config = "max_batch_size: 8\n" + threads + "instance_group { kind: KIND_CPU count: 2 }\n" + CENSUS_TENSORS
        publish(repository, f"threads_{count}", census(), config)
    publish(repository, "truncated", census().SerializeToString()[:-40], "max_batch_size: 8\n" + CENSUS_TENSORS)
    lie = "max_batch_size: 8\n" + CENSUS_TENSORS.replace("TYPE_INT64", "TYPE_FP32")
    publish(repository, "lies", census(), lie)
    with running_triton(repository) as running:
        yield running


@pytest.fixture(scope="module")
def incomplete(tmp_path_factory):
    repository = tmp_path_factory.mktemp("incomplete")
    publish(repository, "bare", census())
    publish(repository, "fixed", census(batch=2, width=3))
    publish(repository, "strings", identity(TensorProto.STRING))
    with running_triton(repository) as running:
        yield running


@pytest.fixture(scope="module")
def client(triton):
    with grpcclient.InferenceServerClient(triton.grpc_url) as connected:
        yield connected


def triton_type(kind: str) -> str:
    return "TYPE_" + {"FLOAT": "FP32", "FLOAT16": "FP16", "DOUBLE": "FP64"}.get(kind, kind)


def ask(client, model: str, name: str, array: np.ndarray, datatype: str, outputs: list[str] | None = None):
    tensor = grpcclient.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    wanted = [grpcclient.InferRequestedOutput(output) for output in outputs] if outputs else None
    return client.infer(model, [tensor], outputs=wanted)


def at_once(call, arguments):
    """Answers or errors, in order."""

    def attempt(argument):
        try:
            return call(argument)
        except InferenceServerException as error:
            return error

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(attempt, arguments))


def ones(rows: int, width: int = 3) -> np.ndarray:
    return np.ones((rows, width), np.float32)


def reason(triton: RunningTriton, model: str) -> str:
    request = urllib.request.Request(f"{triton.http_url}/v2/repository/index", data=b"{}", method="POST")
    with urllib.request.urlopen(request) as reply:
        return next(entry["reason"] for entry in json.load(reply) if entry["name"] == model)


def configuration(triton: RunningTriton, model: str) -> dict:
    with urllib.request.urlopen(f"{triton.http_url}/v2/models/{model}/config") as reply:
        return json.load(reply)


def test_the_requests_of_one_batch_are_one_run(client):
    answers = at_once(lambda _: ask(client, "census", "x", ones(1), "FP32"), range(4))
    assert [answer.as_numpy("rows").tolist() for answer in answers] == [[[4]]] * 4
    statistics = client.get_inference_statistics("census").model_stats[0]
    assert (statistics.inference_count, statistics.execution_count) == (4, 1)


def test_every_request_gets_its_own_rows_back(client):
    inputs = [np.full((rows, 3), rows, np.float32) for rows in (1, 2, 1)]
    answers = at_once(lambda array: ask(client, "census", "x", array, "FP32"), inputs)
    for array, answer in zip(inputs, answers, strict=True):
        np.testing.assert_array_equal(answer.as_numpy("double"), 2 * array)


def test_requests_of_different_shape_are_run_in_groups_of_equal_shape(client):
    answers = at_once(lambda width: ask(client, "ragged", "x", ones(1, width), "FP32"), [3, 5, 3, 3])
    assert [answer.as_numpy("rows").item() for answer in answers] == [3, 1, 3, 3]


def test_without_a_batch_size_each_request_is_run_alone(client):
    tensor = ask(client, "alone", "x", ones(5), "FP32")
    assert tensor.as_numpy("rows").tolist() == [[5]] * 5


def test_a_request_that_fails_gets_the_error_and_the_others_their_answers(client):
    answers = at_once(
        lambda index: ask(client, "lookup", "index", np.array([[index]], np.int64), "INT64"), [0, 99, 2, 3]
    )
    assert isinstance(answers[1], InferenceServerException)
    assert "99" in str(answers[1])
    assert [answers[i].as_numpy("value").item() for i in (0, 2, 3)] == [0, 20, 30]


@pytest.mark.parametrize(
    ("name", "array", "datatype"),
    [
        ("x", np.ones((9, 3), np.float32), "FP32"),
        ("x", np.ones((1, 3), np.int32), "INT32"),
        ("x", np.ones((1, 3, 1), np.float32), "FP32"),
        ("y", np.ones((1, 3), np.float32), "FP32"),
    ],
    ids=["batch above the maximum", "wrong type", "wrong rank", "unknown input"],
)
def test_a_malformed_request_is_refused_while_another_is_answered(client, name, array, datatype):
    good, bad = at_once(
        lambda arguments: ask(client, "census", *arguments), [("x", ones(4), "FP32"), (name, array, datatype)]
    )
    assert isinstance(bad, InferenceServerException)
    assert good.as_numpy("rows").shape == (4, 1)


def test_only_the_outputs_that_were_asked_for_are_sent(client):
    answer = ask(client, "census", "x", ones(4), "FP32", outputs=["rows"])
    assert answer.as_numpy("double") is None
    assert answer.as_numpy("rows").tolist() == [[4]] * 4


@pytest.mark.parametrize("kind", TYPES)
def test_every_element_of_every_type_passes_unchanged(client, kind):
    datatype = triton_type(kind).removeprefix("TYPE_")
    array = np.array([[1, 0, 1], [0, 1, 3]]).astype(triton_to_np_dtype(datatype))
    answer = ask(client, f"identity_{kind}", "input", array, datatype)
    np.testing.assert_array_equal(answer.as_numpy("output"), array)


@pytest.mark.parametrize(("values", "where", "most"), [([0, 5, 0, 7], [[1, 3]], 7), ([0, 0], [[]], 0)])
def test_outputs_of_any_length_and_scalars_come_back(client, values, where, most):
    answer = ask(client, "above_zero", "x", np.array(values, np.float32), "FP32")
    assert answer.as_numpy("where").tolist() == where
    assert answer.as_numpy("most").tolist() == [most]


def test_answering_writes_nothing_into_the_log(client, triton):
    before = triton.log.read_text()
    ask(client, "census", "x", ones(4), "FP32")
    ask(client, "above_zero", "x", np.zeros(2, np.float32), "FP32")
    assert triton.log.read_text() == before


def test_auto_complete_derives_what_the_official_backend_would(incomplete):
    config = configuration(incomplete, "bare")
    assert config["max_batch_size"] == 4
    assert "dynamic_batching" in config
    assert [(tensor["name"], tensor["data_type"], tensor["dims"]) for tensor in config["input"] + config["output"]] == [
        ("x", "TYPE_FP32", [-1]),
        ("rows", "TYPE_INT64", [1]),
        ("double", "TYPE_FP32", [-1]),
    ]


def test_auto_complete_leaves_a_fixed_batch_axis_to_the_model(incomplete):
    config = configuration(incomplete, "fixed")
    assert config["max_batch_size"] == 0
    assert config["input"][0]["dims"] == [2, 3]


def test_instances_are_processes_with_the_threads_that_were_asked_for(triton):
    def thread_counts(model: str) -> list[int]:
        stubs = [pid for pid, line in triton.processes().items() if f"/{model}/1/model.onnx" in line]
        return [len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in stubs]

    one, four = thread_counts("threads_1"), thread_counts("threads_4")
    assert len(one) == len(four) == 2
    assert [more - fewer for fewer, more in zip(one, four, strict=True)] == [3, 3]


@pytest.mark.parametrize(("model", "cause"), [("truncated", "protobuf"), ("lies", "output 'rows' is TYPE_FP32")])
def test_a_model_that_cannot_be_loaded_says_where_and_why_and_takes_no_other_down(triton, client, model, cause):
    assert f"{model}/1/model.onnx" in reason(triton, model)
    assert cause.lower() in reason(triton, model).lower()
    assert client.is_model_ready("census")


def test_a_model_with_strings_is_refused_by_name(incomplete):
    assert "'input' is a tensor(string)" in reason(incomplete, "strings")
