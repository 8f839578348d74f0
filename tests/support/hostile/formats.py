"""Files of other formats under a model's name."""

import gzip
import io
import json
import pickle
import random
import tarfile
import zipfile
from collections.abc import Iterator


def other_formats() -> Iterator[tuple[str, bytes]]:
    archive, tar = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({"model": 1}))
    with tarfile.open(fileobj=tar, mode="w") as file:
        file.addfile(tarfile.TarInfo("../../etc/cron.d/x"))
    header = json.dumps({"names": {0: "person"}, "stride": 32}).encode()
    noise = random.Random(5)
    formats = {
        "empty": b"",
        "text": b"this is no model\n" * 100,
        "html": b"<!DOCTYPE html><html><body>404</body></html>",
        "json": json.dumps({"model": [1, 2, 3]}).encode(),
        "git_lfs_pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3660092\n",
        "pickle": pickle.dumps({"weights": [0.0] * 100}),
        "torch_zip": archive.getvalue(),
        "tar": tar.getvalue(),
        "gzip_bomb": gzip.compress(bytes(8 << 20)),
        "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "elf": b"\x7fELF\x02\x01\x01" + bytes(200),
        "tflite": b"\x1c\x00\x00\x00TFL3" + bytes(200),
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(200),
        "safetensors": (8).to_bytes(8, "little") + b"{}      ",
        "tensorrt_plan": b"ftrt" + bytes(400),
        "ultralytics_engine": len(header).to_bytes(4, "little") + header + b"ftrt" + bytes(400),
        "zeros": bytes(4096),
        "ones": b"\xff" * 4096,
        "endless_varint": b"\x08" + b"\xff" * 4096,
        "length_beyond_end": b"\x3a\xff\xff\xff\xff\x07abc",
        "groups_nested": b"\x0b" * 5000,
        **{f"noise_{size}": noise.randbytes(size) for size in (1, 7, 100, 10_000, 1_000_000)},
    }
    return ((f"format_{name}", content) for name, content in formats.items())
