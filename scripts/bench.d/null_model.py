"""A model that costs nothing: what is measured with it is the way to Triton and back."""

import shutil
import subprocess
from pathlib import Path

NAME = "null"
WIDTH, ROWS = 320, 480
MAX_BATCH = 8

_CONFIG = f"""
name: "{NAME}"
backend: "{NAME}"
max_batch_size: {MAX_BATCH}
input {{ name: "frames" data_type: TYPE_UINT8 dims: [{ROWS}, {WIDTH}] }}
output {{ name: "detections" data_type: TYPE_FP32 dims: [100, 6] }}
output {{ name: "num_detections" data_type: TYPE_INT32 dims: [1] }}
instance_group {{ kind: KIND_CPU count: 1 }}
dynamic_batching {{ }}
parameters {{ key: "ruth.contract" value {{ string_value: "1" }} }}
parameters {{ key: "ruth.task" value {{ string_value: "detect" }} }}
parameters {{ key: "ruth.letterbox" value {{ string_value: "center" }} }}
parameters {{ key: "ruth.labels" value {{ string_value: "[\\"person\\"]" }} }}
"""


class NoCompilerError(Exception):
    """There is no C compiler; says how to get one."""


def publish(repository: Path) -> None:
    """Compile the backend and put the model into a repository, unless it is there.

    Raises:
        NoCompilerError: There is no `cc`.
    """
    folder = repository / NAME
    library, source = folder / f"libtriton_{NAME}.so", Path(__file__).with_name("null_backend.c")
    if library.is_file() and library.stat().st_mtime > source.stat().st_mtime:
        return
    compiler = shutil.which("cc")
    if compiler is None:
        raise NoCompilerError("the model that costs nothing is compiled: install a C compiler (Debian: gcc)")
    (folder / "1").mkdir(parents=True, exist_ok=True)
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    (folder / "config.pbtxt").write_text(_CONFIG, encoding="utf-8")
