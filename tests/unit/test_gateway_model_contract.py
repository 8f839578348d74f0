"""What is made of a model's configuration, whatever somebody wrote into it."""

import msgspec
import pytest

from gateway.errors import ModelContractError
from gateway.inference.contract import read_contract
from gateway.inference.control import ModelConfig, Parameter, Tensor

GOOD = {
    "ruth.contract": "1",
    "ruth.task": "detect",
    "ruth.letterbox": "center",
    "ruth.labels": '["person", "dog"]',
    "ruth.pad": "114",
}


def a_config(**changed: str) -> ModelConfig:
    parameters = {**GOOD, **{f"ruth.{name}": value for name, value in changed.items()}}
    return ModelConfig(
        name="people",
        max_batch_size=4,
        input=(Tensor("frames", "TYPE_UINT8", (72, 64)),),
        output=(Tensor("detections", "TYPE_FP32", (5, 6)),),
        parameters={name: Parameter(value) for name, value in parameters.items()},
    )


def test_a_configuration_that_keeps_the_contract_is_read():
    contract = read_contract(a_config(), "3")
    assert (contract.input_wh, contract.labels, contract.pad_luma) == ((64, 48), ("person", "dog"), 114)
    assert (contract.keypoints, contract.max_detections, contract.version) == ((), 5, "3")


@pytest.mark.parametrize("darkest_or_brightest", [0, 255])
def test_every_luma_may_be_beside_the_picture(darkest_or_brightest: int):
    assert read_contract(a_config(pad=str(darkest_or_brightest)), "1").pad_luma == darkest_or_brightest


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("labels", "null"),
        ("labels", "5"),
        ("labels", '"person"'),
        ("labels", "[1, 2]"),
        ("labels", "[" * 100_000),
        ("labels", "person"),
        ("keypoints", "null"),
        ("keypoints", "[null]"),
        ("pad", "999"),
        ("pad", "-1"),
        ("pad", "16.5"),
        ("pad", "grey"),
        ("task", "dream"),
        ("letterbox", "left"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_by_name(name: str, value: str):
    with pytest.raises(ModelContractError, match="model people breaks the contract") as caught:
        read_contract(a_config(**{name: value}), "1")
    if name in {"labels", "keypoints"}:
        assert f"ruth.{name} is no JSON list of names" in str(caught.value)


@pytest.mark.parametrize("name", ["task", "letterbox", "labels"])
def test_a_parameter_that_is_not_there_is_named(name: str):
    config = a_config()
    fewer = {key: value for key, value in config.parameters.items() if key != f"ruth.{name}"}
    with pytest.raises(ModelContractError, match=f"lacks 'ruth.{name}'"):
        read_contract(msgspec.structs.replace(config, parameters=fewer), "1")


@pytest.mark.parametrize("dims", [(72,), (0, 64), (72, 0), (-3, 64), (72, -1), (70, 64), (72, 63), (3 << 40, 2)])
def test_an_input_that_holds_no_picture_is_refused(dims: tuple[int, ...]):
    config = msgspec.structs.replace(a_config(), input=(Tensor("frames", "TYPE_UINT8", dims),))
    with pytest.raises(ModelContractError, match="breaks the contract"):
        read_contract(config, "1")


@pytest.mark.parametrize("dims", [(5, 7), (0, 6), (5,), (1 << 40, 6)])
def test_an_output_that_holds_no_detections_or_too_many_is_refused(dims: tuple[int, ...]):
    config = msgspec.structs.replace(a_config(), output=(Tensor("detections", "TYPE_FP32", dims),))
    with pytest.raises(ModelContractError, match="breaks the contract: output detections"):
        read_contract(config, "1")
