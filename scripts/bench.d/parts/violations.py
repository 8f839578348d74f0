"""What the rules find in every clip, against what is in it: precision, recall and delay of events.

Ground truth is the clips' annotations (`MANIFEST.json` of the test data) and, for zones and lines, what one sees in the
one clip whose visitors go to a table. An event is found when a violation of its rule tells of it; whatever else is
told is false, be it the same event once more. The delay is from the event's beginning to the frame that opened the
violation.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from part import Bench, Goal, Table
from scoring import Event, Score

from tests.support.triton_server import running_triton

RATES_FPS = (5, 10)
FALL_TOLERANCE_S = 2.0

MODELS = {"fall_detection": ["--view", "rot90"], "people": []}
VISITS = "people_one_by_one_50s.mp4"
AT_TABLE = "[[0.45, 0.7], [0.72, 0.7], [0.72, 0.97], [0.45, 0.97]]"
"""The floor in front of the table, above the picture's edge: the feet of who comes in there are out of it."""

BY_WALL = "[[0.0, 0.6], [0.25, 0.6], [0.25, 0.9], [0.0, 0.9]]"
"""Where nobody sets foot."""

PAST_TABLE = "[[0.75, 0.5], [0.75, 1.0]]"
"""A line that both visitors cross when they leave, to the right of the picture."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A rule and what it is to find.

    Attributes:
        name: Of the rule, in the table too.
        model: The model that it judges by.
        definition: In TOML.
        in_visits: What it is to find in the clip of the visitors; None where the annotations tell, in every clip.
    """

    name: str
    model: str
    definition: str
    in_visits: tuple[Event, ...] | None = None


STAYS = (Event(7.5, 18.5), Event(24.0, 43.5))
WATCHES = (
    Watch("fall", "fall_detection", 'type = "fall"'),
    Watch("zone_presence", "people", 'type = "zone_presence"'),
    Watch("zone_intrusion", "people", f'type = "zone_intrusion"\nzone = {AT_TABLE}', STAYS),
    Watch("zone_intrusion elsewhere", "people", f'type = "zone_intrusion"\nzone = {BY_WALL}', ()),
    Watch("dwell of 5 s", "people", f'type = "dwell"\nmin_duration_s = 5\nzone = {AT_TABLE}', STAYS),
    Watch(
        "line_crossing",
        "people",
        f'type = "line_crossing"\nline = {PAST_TABLE}\ndirection = "right_to_left"',
        (Event(18.0, 19.5), Event(43.0, 44.5)),
    ),
)


def measure(bench: Bench) -> Iterator[Table | Goal]:
    """Each clip with both models, at the rates a camera is granted on a CPU and beyond."""
    rows: list[tuple[str | float, ...]] = []
    falls = Score()
    with running_triton(_repository(bench)) as triton:
        for fps in RATES_FPS[: 1 if bench.quick else None]:
            scores = _scores(bench, triton.grpc_url, fps)
            rows += [(name, fps, *_figures(score)) for name, score in scores.items()]
            fall = scores["fall"]
            falls.missed, falls.false = falls.missed + fall.missed, falls.false + fall.false
            falls.delays_s += fall.delays_s
    columns = ("rule", "fps", "found", "missed", "false", "precision", "recall", "F1", "longest delay s")
    note = "people: YOLOX-nano; fall: the same with --view rot90. Presence is 1 s, a dwell 5 s old when it is told."
    yield Table("Events found in the clips", columns, rows, note)
    late = max(falls.delays_s, default=0.0)
    yield Goal("every fall within 2 s", "<= 2 s", f"{late:.2f} s", not falls.missed and late <= FALL_TOLERANCE_S)
    yield Goal("no fall where there is none", "0", str(falls.false), falls.false == 0)


def _scores(bench: Bench, address: str, fps: int) -> dict[str, Score]:
    """Of each rule, over every clip that tells of it."""
    scores = {watch.name: Score() for watch in WATCHES}
    for clip, annotation in _clips(bench).items():
        for model in MODELS:
            expected = {w.name: _events(annotation, w, clip.name) for w in WATCHES if w.model == model}
            if all(events is None for events in expected.values()):
                continue
            found = _replay(bench, clip, model, address, fps)
            for name, events in expected.items():
                if events is not None:
                    scores[name].add(events, [violation for violation in found if violation["rule"] == name])
    return scores


def _figures(score: Score) -> list[float]:
    worst = max(score.delays_s, default=0.0)
    figures = (score.found, score.missed, score.false, score.precision, score.recall, score.f1, worst)
    return [round(figure, 2) for figure in figures]


def _clips(bench: Bench) -> dict[Path, dict[str, Any]]:
    files = json.loads((bench.data / "MANIFEST.json").read_text(encoding="utf-8"))["files"]
    return {bench.data / f["file"]: f.get("annotation", {}) for f in files if f["kind"] == "video"}


def _events(annotation: dict[str, Any], watch: Watch, clip: str) -> list[Event] | None:
    """What a rule is to find in a clip; None where nobody says."""
    if watch.name == "fall":
        times = annotation.get("fall_s", [])
        return [Event(*times)] if times else []
    if annotation.get("people") == 0:
        return []
    if watch.in_visits is not None:
        return list(watch.in_visits) if clip == VISITS else None
    if "person_present_s_approx" in annotation:
        return [Event(start, end) for start, end in annotation["person_present_s_approx"]]
    return None


def _repository(bench: Bench) -> Path:
    folder = bench.folder / "violations"
    for name, options in MODELS.items():
        if not (folder / name).is_dir():
            model = bench.data / "models" / "yolox_nano_416.onnx"
            command = [Path(sys.executable).parent / "ruth-convert", "onnx", model, "--name", name, *options]
            subprocess.run([*command, "--repository", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


def _replay(bench: Bench, clip: Path, model: str, address: str, fps: int) -> list[dict[str, Any]]:
    watches = (watch for watch in WATCHES if watch.model == model)
    texts = [f'[[rules]]\nname = "{each.name}"\n[rules.definition]\n{each.definition}\n' for each in watches]
    rules = bench.folder / f"{model}.toml"
    rules.write_text("".join(texts), encoding="utf-8")
    command = [Path(sys.executable).parent / "ruth-gateway", "replay", "--video", clip, "--model", model]
    command += ["--triton", address, "--rules", rules, "--fps", str(fps), "--json"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    violations: list[dict[str, Any]] = json.loads(answer.stdout)["violations"]
    return violations
