"""`scripts/bench` still runs: its shortest parts, without the peers' packages."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, CHECKOUT / "scripts" / "bench.d", *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, cwd=CHECKOUT)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_benchmark_measures_cameras_through_a_real_gateway_and_keeps_what_it_found(tmp_path, data_dir):
    file = tmp_path / "figures.json"
    file.write_text('{"other": {"title": "measured before"}}')
    done = bench("fairness", "--quick", "--no-peers", "--json", file, "--data", data_dir)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert figures["other"] == {"title": "measured before"}
    fairness = figures["fairness"]
    assert fairness["quick"]
    assert fairness["machine"]["processors"] >= 1
    granted, achieved, _ = fairness["tables"][0]["rows"]
    assert 0 < achieved[1] <= granted[3] * 1.2
    assert "Fairness at twice the load" in done.stdout


def test_a_part_that_is_not_there_is_refused_with_those_that_are():
    done = bench("nothing")
    assert done.returncode == 2
    assert "there is no part nothing; there are cameras" in done.stderr
