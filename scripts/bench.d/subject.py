"""What is measured: the detector of the tables and the clip that cameras show. Made once, under .local/bench."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import onnx
from onnx import TensorProto, helper
from part import Bench

SIZE = 320
CLIP_WH = (768, 576)
CLIP_FPS = 25
CLIP_FRAMES = 3000
MAX_BATCH = 16


def clip(bench: Bench, fps: int = CLIP_FPS) -> Path:
    """Minutes of a street, 768 x 576, H.264; the same pictures at any rate, 25 to a second when they were taken."""
    original = bench.data / "video" / "street_people_cars_pexels854100.mp4"
    path = bench.folder / f"street_768x576_{fps}fps.mp4"
    if not path.is_file():
        unfinished = path.with_suffix(".part.mp4")
        if fps == CLIP_FPS:
            _write_clip(original, unfinished)
        else:
            _retime(clip(bench), unfinished, fps)
        unfinished.rename(path)
    return path


def _retime(original: Path, path: Path, fps: int) -> None:
    """The same packets at another rate."""
    with av.open(str(original)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None and packet.pts is not None:
                packet.time_base = packet.time_base * CLIP_FPS / fps
                packet.stream = stream
                container.mux(packet)


def _write_clip(original: Path, path: Path) -> None:
    """Scale the original, encode it once, and repeat the packets."""
    with av.open(str(original)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=CLIP_FPS)
        stream.width, stream.height = CLIP_WH
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, CLIP_FPS)
        stream.options = {"crf": "23", "preset": "medium", "g": "250"}
        packets: list[av.Packet] = []
        length = 0
        for picture in source.decode(video=0):
            scaled = picture.reformat(*CLIP_WH, format="yuv420p")
            scaled.pts, scaled.time_base = length, Fraction(1, CLIP_FPS)
            length += 1
            packets += stream.encode(scaled)
        packets += stream.encode()
        base = packets[0].time_base
        unit = round(1 / (CLIP_FPS * base))
        times = [(packet.pts, packet.dts) for packet in packets]
        for turn in range(CLIP_FRAMES // length):
            for packet, (pts, dts) in zip(packets, times, strict=True):
                packet.pts, packet.dts = pts + turn * length * unit, dts + turn * length * unit
                packet.stream, packet.time_base = stream, base  # writing it has changed both
                container.mux(packet)


def detector_onnx(bench: Bench) -> Path:
    """YOLOX-nano at 320 x 320, as its export would be."""
    model = onnx.load(str(bench.data / "models" / "yolox_nano_416.onnx"))
    for dimension in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dimension.dim_value = SIZE
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = sum((SIZE // stride) ** 2 for stride in (8, 16, 32))
    del model.graph.value_info[:]
    path = bench.folder / f"yolox_nano_{SIZE}.onnx"
    path.write_bytes(onnx.shape_inference.infer_shapes(model, strict_mode=True).SerializeToString())
    return path


def repository(bench: Bench) -> Path:
    """A model repository with `detector`, as `ruth-convert` publishes it, and `detector_raw`, as peers want it."""
    folder = bench.folder / "model_repository"
    folder.mkdir(exist_ok=True)
    exported = detector_onnx(bench)
    if not (folder / "detector").is_dir():
        command = [Path(sys.executable).parent / "ruth-convert", "onnx", exported, "--name", "detector"]
        subprocess.run([*command, "--repository", folder], check=True, stdout=subprocess.DEVNULL)
    if not (folder / "detector_raw").is_dir():
        version = folder / "detector_raw" / "1"
        version.mkdir(parents=True)
        (version / "model.onnx").write_bytes(_decoded(onnx.load(str(exported))).SerializeToString())
        config = _RAW_CONFIG.format(batch=MAX_BATCH, cores=len(os.sched_getaffinity(0)), metadata=_METADATA)
        (version.parent / "config.pbtxt").write_text(config, encoding="utf-8")
    return folder


_METADATA = {"task": "detect", "stride": 32, "imgsz": [SIZE, SIZE], "batch": MAX_BATCH, "names": {0: "person"}}
_RAW_CONFIG = """
backend: "onnxruntime"
max_batch_size: {batch}
dynamic_batching {{}}
instance_group [{{ kind: KIND_CPU, count: {cores} }}]
parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}
parameters {{ key: "metadata" value {{ string_value: "{metadata}" }} }}
"""


def _decoded(model: onnx.ModelProto) -> onnx.ModelProto:
    """YOLOX's rows as YOLOv8 gives them, `[N, 4 + 80, 2100]` with boxes in pixels: what every peer's code reads."""
    graph = model.graph
    cells = [(x, y, stride) for stride in (8, 16, 32) for y in range(SIZE // stride) for x in range(SIZE // stride)]
    rows = len(cells)
    constants = {
        "grid": (TensorProto.FLOAT, [1, rows, 2], [float(v) for x, y, _ in cells for v in (x, y)]),
        "stride": (TensorProto.FLOAT, [1, rows, 1], [float(stride) for _, _, stride in cells]),
        "split": (TensorProto.INT64, [4], [2, 2, 1, 80]),
    }
    graph.initializer.extend(helper.make_tensor(f"raw.{k}", *v) for k, v in constants.items())
    for value in graph.initializer:
        if value.data_type == TensorProto.INT64 and list(onnx.numpy_helper.to_array(value).flat) == [1, 85, -1]:
            value.CopyFrom(helper.make_tensor(value.name, TensorProto.INT64, [3], [0, 85, -1]))
    make = helper.make_node
    graph.node.extend(
        [
            make("Split", [graph.output[0].name, "raw.split"], ["raw.xy", "raw.wh", "raw.object", "raw.class"], axis=2),
            make("Add", ["raw.xy", "raw.grid"], ["raw.cell_xy"]),
            make("Mul", ["raw.cell_xy", "raw.stride"], ["raw.pixel_xy"]),
            make("Exp", ["raw.wh"], ["raw.cell_wh"]),
            make("Mul", ["raw.cell_wh", "raw.stride"], ["raw.pixel_wh"]),
            make("Mul", ["raw.class", "raw.object"], ["raw.score"]),
            make("Concat", ["raw.pixel_xy", "raw.pixel_wh", "raw.score"], ["raw.rows"], axis=2),
            make("Transpose", ["raw.rows"], ["output0"], perm=[0, 2, 1]),
        ]
    )
    shape = ["n", 84, rows]
    del graph.output[:], graph.value_info[:]
    graph.output.append(helper.make_tensor_value_info("output0", TensorProto.FLOAT, shape))
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    return onnx.version_converter.convert_version(model, 13)
