"""What the rules find in every clip, against what is in it: precision, recall and delay of events.

Ground truth is the clips' annotations (`MANIFEST.json` of the test data). An event is found when a violation of its
kind overlaps it; its delay is from the annotated beginning to the frame that opened the violation.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from part import Bench, Goal, Table

from tests.support.triton_server import running_triton

RATES_FPS = (5, 10)
FALL_TOLERANCE_S = 2.0
EARLY_S = 1.5
"""Annotations are good to a second; a violation may begin so much before its event."""

PRESENCE = '[[rules]]\nname = "presence"\n[rules.definition]\ntype = "zone_presence"\nlabels = {labels}\n'
FALL = '[[rules]]\nname = "fall"\n[rules.definition]\ntype = "fall"\n'
MODELS = {"fall_detection": ["--view", "rot90"], "people": []}
RULES = {"fall_detection": FALL, "people": PRESENCE.format(labels='["person"]')}
KIND = {"fall_detection": "fall", "people": "zone_presence"}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens in a clip, in seconds of it."""

    start_s: float
    end_s: float


@dataclass(slots=True)
class Score:
    """Events of one kind over several clips."""

    found: int = 0
    missed: int = 0
    false: int = 0
    delays_s: tuple[float, ...] = ()

    @property
    def precision(self) -> float:
        """Of what was found, the part that happened; 1 where nothing was found."""
        return self.found / (self.found + self.false) if self.found + self.false else 1.0

    @property
    def recall(self) -> float:
        """Of what happened, the part that was found; 1 where nothing happened."""
        return self.found / (self.found + self.missed) if self.found + self.missed else 1.0

    @property
    def f1(self) -> float:
        """Their harmonic mean."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    def add(self, events: Sequence[Event], violations: Sequence[dict[str, Any]], opens_after_s: float) -> None:
        """Match violations, in order of time, with events; each counts once."""
        left = list(violations)
        for event in events:
            overlapping = [v for v in left if v["started_at_s"] <= event.end_s and v["ended_at_s"] >= event.start_s]
            if not overlapping or overlapping[0]["started_at_s"] < event.start_s - EARLY_S:
                self.missed += 1
                continue
            first = overlapping[0]
            self.found += 1
            self.delays_s += (max(0.0, first["started_at_s"] + opens_after_s - event.start_s),)
            left = [v for v in left if v not in overlapping]
        self.false += len(left)


def measure(bench: Bench) -> Iterator[Table | Goal]:
    """Each clip with both models, at the rates a camera is granted on a CPU and beyond."""
    clips = _clips(bench)
    with running_triton(_repository(bench)) as triton:
        rows, falls, presence = [], Score(), Score()
        for fps in RATES_FPS[: 1 if bench.quick else None]:
            for model, kind in KIND.items():
                opens_after_s = 0.3 if kind == "fall" else 1.0
                score = Score()
                for clip, annotation in clips.items():
                    events = _events(annotation, kind)
                    if events is None:
                        continue
                    found = _replay(bench, clip, model, triton.grpc_url, fps)
                    score.add(events, found, opens_after_s)
                    (falls if kind == "fall" else presence).add(events, found, opens_after_s)
                worst = max(score.delays_s, default=0.0)
                figures = (score.found, score.missed, score.false, score.precision, score.recall, score.f1, worst)
                rows.append((kind, fps, *(round(f, 2) for f in figures)))
    columns = ("rule", "fps", "found", "missed", "false", "precision", "recall", "F1", "longest delay s")
    yield Table("Events found in the clips", columns, rows, "people: YOLOX-nano; fall: the same with --view rot90.")
    late = max(falls.delays_s, default=0.0)
    yield Goal("every fall within 2 s", "<= 2 s", f"{late:.2f} s", not falls.missed and late <= FALL_TOLERANCE_S)
    yield Goal("no fall where there is none", "0", str(falls.false), falls.false == 0)


def _clips(bench: Bench) -> dict[Path, dict[str, Any]]:
    files = json.loads((bench.data / "MANIFEST.json").read_text(encoding="utf-8"))["files"]
    return {bench.data / f["file"]: f.get("annotation", {}) for f in files if f["kind"] == "video"}


def _events(annotation: dict[str, Any], kind: str) -> list[Event] | None:
    """The events of a kind in a clip; None where the annotation doesn't tell."""
    if kind == "fall":
        times = annotation.get("fall_s", [])
        return [Event(*times)] if times else []
    if "person_present_s_approx" in annotation:
        return [Event(start, end) for start, end in annotation["person_present_s_approx"]]
    return [] if annotation.get("people") == 0 else None


def _repository(bench: Bench) -> Path:
    folder = bench.folder / "violations"
    for name, options in MODELS.items():
        if not (folder / name).is_dir():
            model = bench.data / "models" / "yolox_nano_416.onnx"
            command = [Path(sys.executable).parent / "ruth-convert", "onnx", model, "--name", name, *options]
            subprocess.run([*command, "--repository", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


def _replay(bench: Bench, clip: Path, model: str, address: str, fps: int) -> list[dict[str, Any]]:
    rules = bench.folder / f"{model}.toml"
    rules.write_text(RULES[model], encoding="utf-8")
    command = [Path(sys.executable).parent / "ruth-gateway", "replay", "--video", clip, "--model", model]
    command += ["--triton", address, "--rules", rules, "--fps", str(fps), "--json"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    violations: list[dict[str, Any]] = json.loads(answer.stdout)["violations"]
    return violations
