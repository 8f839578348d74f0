"""Threads share two of glibc's arenas, unless the operator says otherwise."""

import os
import subprocess
import sys

import pytest

COUNT_ARENAS = """
import ctypes, sys, threading
from gateway.allocator import limit_arenas
limit_arenas(int(sys.argv[1]))
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
libc.fopen.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
barrier = threading.Barrier(12)
def allocate():
    libc.malloc(1000)
    barrier.wait()
threads = [threading.Thread(target=allocate) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
stream = libc.fopen(b"/dev/stdout", b"w")
libc.malloc_info(0, stream)
libc.fflush(None)
"""

ENV = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
@pytest.mark.parametrize(("most", "arenas"), [(2, {1, 2}), (6, {3, 4, 5, 6})])
def test_twelve_threads_share_as_many_arenas_as_there_may_be(most: int, arenas: set[int]) -> None:
    command = [sys.executable, "-c", COUNT_ARENAS, str(most)]
    done = subprocess.run(command, env=ENV, capture_output=True, text=True, check=True)
    assert done.stdout.count("<heap nr=") in arenas, done.stdout


GIVE_BACK = """
import ctypes
from pathlib import Path
from gateway.allocator import give_back
def resident_kib(): return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
blocks = [libc.malloc(60_000) for _ in range(1000)]
for block in blocks: ctypes.memset(block, 1, 60_000)
for block in blocks[:-1]: libc.free(block)
before = resident_kib()
give_back()
print(before - resident_kib())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_what_is_free_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", GIVE_BACK], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 50_000
