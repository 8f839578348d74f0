"""Command lines to copy, at the end of each verb's help; under the empty name the way of a first model."""

_EXAMPLES = {
    "": (
        ("ruth-convert catalog yolox_nano", "fetch a small detector of people, cars and 78 more"),
        ("ruth-convert inspect yolox_nano.onnx", "what it is, and what it costs to run"),
        ("ruth-convert onnx yolox_nano.onnx --name people", "check and publish it"),
        ("ruth-convert list", "what is published"),
    ),
    "onnx": (
        ("ruth-convert onnx best.onnx --name helmets --pictures photographs", "checked on your own pictures"),
        ("ruth-convert onnx best.onnx --name helmets --dry-run", "see whether it would do"),
        ("ruth-convert onnx best.onnx --name helmets --precision int8 --calibration clip.mp4", "a third of the size"),
        ("ruth-convert onnx best.onnx --name fall_detection --view rot90", "people who lie get the label person_lying"),
        ("ruth-convert onnx my_model:make --example 1x3x640x640 --name helmets", "from a network of PyTorch"),
        ("ruth-convert onnx odd.onnx --name odd --family custom --description odd.toml", "of no family known here"),
    ),
    "builtin": (("ruth-convert builtin people_hog", "a detector of people without any download"),),
    "list": (("ruth-convert list --json", "for a script"),),
    "verify": (("ruth-convert verify people --pictures photographs", "files, graph and a real Triton agree"),),
    "lint": (("ruth-convert lint model_repository", "findings with file and field; status 1 if there is any"),),
    "inspect": (("ruth-convert inspect best.onnx", "shapes, cost, and of every family why or why not"),),
    "rollback": (
        ("ruth-convert rollback people --dry-run", "which version would it be?"),
        ("ruth-convert rollback people --server localhost:8001", "and a running Triton loads it at once"),
    ),
    "diff": (("ruth-convert diff people 1 2", "what changed between them"),),
    "evaluate": (
        (
            "ruth-convert evaluate people --annotations c.json --images photographs --limits map50=0.5 --html it.html",
            "status 1 below the limit, and a report",
        ),
    ),
    "tune": (("ruth-convert tune people --latency-limit-ms 100 --output tuning", "measures for three minutes"),),
    "catalog": (
        ("ruth-convert catalog", "what there is"),
        ("ruth-convert catalog yolox_nano --mirror /media/usb", "from a folder, where there is no network"),
    ),
    "targets": (("ruth-convert targets --target cuda", "images, drivers and TensorRT that go together"),),
    "tensorrt": (
        ("ruth-convert tensorrt people --in-image 26.08", "built inside the image that will serve it"),
        ("ruth-convert tensorrt people --batch 1,4,8", "by the TensorRT of this environment"),
    ),
}


def examples_of(verb: str) -> str:
    """Return the examples of a verb, each a comment and a line to copy."""
    lines = [f"  # {what}\n  {command}" for command, what in _EXAMPLES[verb]]
    return "\n".join(["examples:" if len(lines) > 1 else "example:", *lines])
