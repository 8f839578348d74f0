"""The surface of NVIDIA's `tensorrt` module that Polygraphy calls, recording what it is asked for.

`VERSIONS` says what differs: 10 has precision flags and STRONGLY_TYPED, 11 has neither and renumbered what is left.
Polygraphy keeps the module that it first imported, so there is one object, changed in place.
"""

import enum
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import onnx

_FLAGS = {10: ("FP16", "BF16", "INT8", "TF32", "VERSION_COMPATIBLE"), 11: ("VERSION_COMPATIBLE", "TF32")}
_NETWORK_FLAGS = {10: ("EXPLICIT_BATCH", "STRONGLY_TYPED"), 11: ("PREFER_AOT_PYTHON_PLUGINS",)}
MODULE = ModuleType("tensorrt")
MODULE.__spec__ = ModuleSpec("tensorrt", None)


class Log(SimpleNamespace):
    """What was asked for, by name."""


def install(monkeypatch, version: str, *, fails: bool = False) -> Log:
    """Make `import tensorrt` give a TensorRT of this version; return its log."""
    major = int(version.split(".", maxsplit=1)[0])
    log = Log(network_flags=(), flags=set(), profiles=[], pools={}, settings={}, cache_in=None, parsed=None)
    surface = _surface(major, version, log, fails=fails)
    for name in [name for name in vars(MODULE) if not name.startswith("__")]:
        delattr(MODULE, name)
    for name, value in surface.items():
        setattr(MODULE, name, value)
    monkeypatch.setitem(sys.modules, "tensorrt", MODULE)
    return log


def _enum(name, members):
    return enum.IntEnum(name, {member: value for value, member in enumerate(members)})


def _surface(major, version, log, *, fails):
    builder_flag = _enum("BuilderFlag", _FLAGS[major])
    network_flag = _enum("NetworkDefinitionCreationFlag", _NETWORK_FLAGS[major])

    class Network:
        name = "network"

        def __init__(self, flags):
            log.network_flags = tuple(flag.name for flag in network_flag if flags >> flag & 1)
            self.inputs = []

        @property
        def num_inputs(self):
            return len(self.inputs)

        def get_input(self, index):
            return self.inputs[index]

        def get_flag(self, flag):
            return flag.name in log.network_flags

        def __iter__(self):
            return iter(())

    class Parser:
        num_errors = 0

        def __init__(self, network, logger):
            self.network = network

        def parse(self, data):
            log.parsed = onnx.load_model_from_string(data)
            for value in log.parsed.graph.input:
                shape = tuple(axis.dim_value or -1 for axis in value.type.tensor_type.shape.dim)
                entry = SimpleNamespace(name=value.name, shape=shape, dtype="UINT8", is_shape_tensor=False)
                self.network.inputs.append(entry)
            return True

    class Profile:
        def set_shape(self, name, least, best, largest):
            log.profiles.append((name, tuple(least), tuple(best), tuple(largest)))

    class Cache:
        def __init__(self, data):
            self.data = data

        def combine(self, other, ignore_mismatch):
            self.data += other.data
            return True

        def serialize(self):
            return memoryview(self.data + b"+measured")

    class Config:
        DLA_core = -1
        default_device_type = None
        num_optimization_profiles = 1
        cache = None

        def __setattr__(self, name, value):
            if name == "cache":
                object.__setattr__(self, name, value)
            else:
                log.settings[name] = value

        def set_flag(self, flag):
            log.flags.add(flag.name)

        def clear_flag(self, flag):
            log.flags.discard(flag.name)

        def get_flag(self, flag):
            return flag.name in log.flags

        def add_optimization_profile(self, profile):
            return 0

        def set_memory_pool_limit(self, pool, size):
            log.pools[pool.name] = size

        def get_memory_pool_limit(self, pool):
            return log.pools.get(pool.name, 0)

        def create_timing_cache(self, data):
            return Cache(bytes(data))

        def set_timing_cache(self, cache, ignore_mismatch):
            log.cache_in = cache.data
            self.cache = cache

        def get_timing_cache(self):
            return Cache(b"")

    class Builder:
        def __init__(self, logger):
            log.flags.add("TF32")

        def create_network(self, flags=0):
            return Network(flags)

        def create_builder_config(self):
            return Config()

        def create_optimization_profile(self):
            return Profile()

        def build_serialized_network(self, network, config):
            return None if fails else b"plan of TensorRT " + version.encode()

    class Logger:
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    return {
        "__version__": version,
        "ILogger": type("ILogger", (), {}),
        "Logger": Logger,
        "Builder": Builder,
        "OnnxParser": Parser,
        "BuilderFlag": builder_flag,
        "NetworkDefinitionCreationFlag": network_flag,
        "MemoryPoolType": _enum("MemoryPoolType", ("WORKSPACE",)),
        "HardwareCompatibilityLevel": _enum("HardwareCompatibilityLevel", ("NONE", "AMPERE_PLUS")),
        "ProfilingVerbosity": _enum("ProfilingVerbosity", ("DETAILED",)),
        "DeviceType": _enum("DeviceType", ("GPU", "DLA")),
        "init_libnvinfer_plugins": lambda _logger, _namespace: True,
    }
