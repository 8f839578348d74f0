"""`ruth-convert tune`: what is tried, and a short sweep with the real perf_analyzer."""

import csv
import json
import os
import shutil
from xml.etree import ElementTree as ET

import pytest

from converters import triton_config
from converters.cli import main
from converters.errors import ModelError
from converters.perf_analyzer import read_table
from converters.repository import Repository
from converters.tune import candidates, setting_of, with_setting


@pytest.mark.parametrize("cores", [1, 2, 4, 64])
def test_no_setting_for_a_cpu_asks_for_more_threads_than_cores(cores):
    settings = candidates(cores, 8, on_cpu=True)
    assert len(settings) == len(set(settings)) > 1
    assert all(setting.instances * setting.threads <= cores for setting in settings)
    assert all(setting.max_queue_delay_microseconds == 0 for setting in settings if setting.max_batch_size == 1)


def test_a_setting_written_into_a_configuration_is_read_back_and_nothing_else_changes(people_repository):
    config = triton_config.parse(Repository(people_repository).config("people"))
    for setting in candidates(4, 8, on_cpu=True):
        text = triton_config.text_of(with_setting(config, setting))
        assert setting_of(triton_config.parse(text)) == setting
        assert triton_config.spec_of(triton_config.parse(text)) == triton_config.spec_of(config)


def test_a_table_without_its_columns_is_refused():
    with pytest.raises(ModelError, match="not as expected"):
        read_table("Concurrency,Something\n1,2\n")


@pytest.mark.slow
def test_a_sweep_writes_the_best_setting_its_table_and_its_plot(people_repository, tmp_path, capsys):
    repository = shutil.copytree(people_repository, tmp_path / "models")
    arguments = ["--latency-limit-ms", "10000", "--seconds", "3", "--requests", "10", "--output", str(tmp_path)]
    status = main(["tune", "people", *arguments, "--repository", str(repository), "--json"])
    captured = capsys.readouterr()
    if status == 3 and not os.environ.get("CI"):
        pytest.skip(captured.err)
    result = json.loads(captured.out)
    assert status == 0, result
    with (tmp_path / "tune_people.csv").open() as file:
        table = list(csv.DictReader(file))
    assert sum(row["best"] == "True" for row in table) == 1
    assert max(float(row["frames_per_s"]) for row in table) == result["best"]["load"]["frames_per_s"] > 0
    assert ET.parse(tmp_path / "tune_people.svg").getroot().tag.endswith("svg")
    written = setting_of(triton_config.parse(Repository(repository).config("people")))
    assert written.instances == result["best"]["setting"]["instances"]
    assert not (repository / "people/1/config.pbtxt").exists(), "a served version has one configuration"
    impossible = ["--latency-limit-ms", "0.001", "--seconds", "1", "--requests", "5"]
    assert main(["tune", "people", *impossible, "--repository", str(repository)]) == 1
