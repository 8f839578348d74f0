"""`ruth-convert tune`: what is tried, and a short sweep with the real perf_analyzer."""

import csv
import itertools
import json
import os
import shutil
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from converters import cuda_device, perf_analyzer, triton_config
from converters import tune as tuning
from converters.cli import main
from converters.errors import ModelError
from converters.manifest import MANIFEST_FILE
from converters.perf_analyzer import Load, longest_s, read_table
from converters.pictures import render_pictures
from converters.repository import Repository
from converters.tune import Setting, candidates, setting_of, tune, with_setting


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


def test_a_warm_up_that_a_smaller_batch_cost_comes_back_with_a_larger_one(two_versions):
    config = triton_config.parse(Repository(two_versions).config_of("tiny", 1))
    assert [request["batch_size"] for request in config["model_warmup"]] == list(range(1, 9))
    sizes = [
        Setting(max_batch_size=size, instances=1, threads=1, max_queue_delay_microseconds=0) for size in range(1, 9)
    ]
    for first, second in itertools.product(sizes, sizes):
        assert with_setting(with_setting(config, first), second) == with_setting(config, second)
        assert len(with_setting(config, second)["model_warmup"]) == second.max_batch_size
    assert with_setting({**config, "model_warmup": []}, sizes[-1])["model_warmup"] == []


def test_a_model_tuned_to_single_pictures_is_tried_with_the_batches_it_was_published_for(
    two_versions, tmp_path, monkeypatch
):
    repository = shutil.copytree(two_versions, tmp_path / "models")
    path = repository / "tiny/config.pbtxt"
    single = Setting(max_batch_size=1, instances=1, threads=1, max_queue_delay_microseconds=0)
    path.write_text(triton_config.text_of(with_setting(triton_config.parse(path.read_text()), single)))
    load = Load(concurrency=1, frames_per_s=10, p50_ms=10, p95_ms=20)
    monkeypatch.setattr(tuning, "_loads", lambda *_given: [load])
    found = tuned(repository, 60, itertools.repeat(0.0))
    assert {trial.setting.max_batch_size for trial in found.trials} == {1, 8}
    manifest = repository / "tiny/2" / MANIFEST_FILE
    manifest.write_text(manifest.read_text().replace('"max_batch_size": 8', '"max_batch_size": "many"'))
    assert {trial.setting.max_batch_size for trial in tuned(repository, 60, itertools.repeat(0.0)).trials} == {1}


def test_a_table_without_its_columns_is_refused():
    with pytest.raises(ModelError, match="not as expected"):
        read_table("Concurrency,Something\n1,2\n")


def test_a_measurement_may_take_what_a_setting_takes_that_keeps_the_limit():
    assert longest_s([1, 2], 100, 1000) == perf_analyzer.GRACE_S + 600
    assert longest_s([4, 8], 100, 1000) == perf_analyzer.GRACE_S + 150


def stand_in(folder, text):
    """A program in place of `ruth-triton perf-analyzer`."""
    path = folder / "ruth-triton"
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_measurement_that_comes_to_no_end_says_nothing(monkeypatch, tmp_path):
    program = stand_in(tmp_path, "exec sleep 60")
    monkeypatch.setattr(perf_analyzer, "ruth_triton", lambda: program)
    frames = np.zeros((1, 96, 96), dtype=np.uint8)
    assert perf_analyzer.measure("127.0.0.1:1", "tiny", frames, [1, 2], 100, timeout_s=0.2) == []


def test_a_model_for_a_gpu_is_not_tuned_on_a_cpu(two_versions, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cuda_device, "DRIVER_LIBRARY", "libcuda-that-is-not-there.so.1")
    repository = shutil.copytree(two_versions, tmp_path / "models")
    path = repository / "tiny/config.pbtxt"
    path.write_text(path.read_text().replace("KIND_CPU", "KIND_GPU"))
    before = path.read_bytes()
    arguments = ["tune", "tiny", "--latency-limit-ms", "1000", "--repository", str(repository)]
    assert main([*arguments, "--json"]) == 3
    assert "tune it on a machine like the one that serves it" in json.loads(capsys.readouterr().out)["error"]
    assert path.read_bytes() == before


FIRST_HANGS = """
if mkdir "$0.called"; then exec sleep 60; fi
while [ "$1" != -f ]; do shift; done
printf 'Concurrency,Inferences/Second,p50 latency,p95 latency\\n1,20,40000,50000\\n' > "$2"
"""


def tuned(repository, seconds, times):
    return tune(
        repository,
        "tiny",
        render_pictures(),
        latency_limit_ms=100,
        seconds=seconds,
        requests=1,
        report=lambda _stage: None,
        clock=iter(times).__next__,
    )


@pytest.mark.slow
def test_a_setting_too_slow_to_be_measured_does_not_lose_the_others(two_versions, tmp_path, monkeypatch):
    program = stand_in(tmp_path, FIRST_HANGS)
    monkeypatch.setattr(perf_analyzer, "ruth_triton", lambda: program)
    monkeypatch.setattr(perf_analyzer, "GRACE_S", 5)
    with pytest.raises(ModelError, match=r"no setting keeps 100 ms: .* fewer --requests"):
        tuned(two_versions, 5, [0.0, 10.0])
    (tmp_path / "ruth-triton.called").rmdir()
    found = tuned(two_versions, 5, [0.0, 0.0, 10.0])
    assert (len(found.too_slow), len(found.trials), found.before) == (1, 1, None)
    assert found.best.setting not in found.too_slow


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
