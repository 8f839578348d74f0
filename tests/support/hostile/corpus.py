"""Files that claim to be models and are broken or hostile: cut short, flipped, mutated, bombs, other formats, links."""

import os
from collections.abc import Iterator
from pathlib import Path

from tests.support.hostile.bombs import BOMBS
from tests.support.hostile.external import EXTERNAL
from tests.support.hostile.formats import other_formats
from tests.support.hostile.graphs import GRAPHS
from tests.support.hostile.mutations import flipped, mutated
from tests.support.tiny_yolox import tiny_yolox

CUTS, FLIPS, MUTATIONS = 40, 70, 100


def write_corpus(folder: Path) -> list[Path]:
    """Write every file, its name saying what it is, and return the paths."""
    folder.mkdir(parents=True)
    data = tiny_yolox().SerializeToString()
    files = dict(_named())
    files |= {f"cut_{index:02}": data[: 1 + index * (len(data) - 2) // (CUTS - 1)] for index in range(CUTS)}
    files |= {f"flip_{seed:02}": flipped(data, seed) for seed in range(FLIPS)}
    files |= {f"mutation_{seed:03}": mutated(seed) for seed in range(MUTATIONS)}
    for name, content in files.items():
        (folder / f"{name}.onnx").write_bytes(content)
    return [folder / f"{name}.onnx" for name in files] + list(_special(folder))


def _named() -> Iterator[tuple[str, bytes]]:
    yield from other_formats()
    for kind, build in (("external", EXTERNAL), ("bomb", BOMBS), ("graph", GRAPHS)):
        for name, make in build.items():
            made = make()
            yield f"{kind}_{name}", made if isinstance(made, bytes) else made.SerializeToString()


def _special(folder: Path) -> Iterator[Path]:
    """What is no regular file, and what external data of the corpus points to."""
    (folder / "secret").write_bytes(bytes(16))
    (folder / "weights.bin").write_bytes(bytes(16))
    (folder / "link.bin").symlink_to("/etc/passwd")
    os.link(folder / "secret", folder / "hard.bin")
    (folder / "folder.onnx").mkdir()
    os.mkfifo(folder / "pipe.onnx")
    (folder / "device.onnx").symlink_to("/dev/zero")
    (folder / "loop.onnx").symlink_to("loop.onnx")
    with (folder / "sparse_3_gb.onnx").open("wb") as file:
        file.truncate(3 << 30)
    yield from (folder / f"{name}.onnx" for name in ("folder", "pipe", "device", "loop", "sparse_3_gb", "missing"))
