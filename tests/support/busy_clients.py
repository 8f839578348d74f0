"""People and programs at a gateway's API: they look at violations and listen to events, and come and go."""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

PATHS = ("/api/v1/cameras", "/api/v1/health", "/api/v1/runtimes", "/metrics")
LISTENING_S = 1.5


class Visits:
    """How often each kind of client came away with something."""

    def __init__(self) -> None:
        self.pages = 0
        self.pictures = 0
        self.events = 0


@contextlib.contextmanager
def busy_clients(url: str, *, lookers: int = 1, listeners: int = 2) -> Iterator[Visits]:
    """Run clients during the block; all have gone at its end."""
    visits, ended = Visits(), threading.Event()
    address = urlsplit(url).netloc

    def keep(visit: Callable[[str, Visits], None]) -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                visit(address, visits)
            ended.wait(0.1)

    work = [look_around] * lookers + [listen] * listeners
    threads = [threading.Thread(target=keep, args=[visit]) for visit in work]
    for thread in threads:
        thread.start()
    try:
        yield visits
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def look_around(address: str, visits: Visits) -> None:
    """Read what a console shows: lists, pictures, a clip, health."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        newest = json.loads(_get(connection, "/api/v1/violations?limit=20"))["items"]
        for violation in newest[:3]:
            for file in ("evidence.jpg", "clean.jpg", "clip.mp4", "audit"):
                visits.pictures += bool(_get(connection, f"/api/v1/violations/{violation['id']}/{file}"))
        for path in PATHS:
            visits.pages += bool(_get(connection, path))
    finally:
        connection.close()


def listen(address: str, visits: Visits) -> None:
    """Listen to events for a while and go away in the midst."""
    connection = http.client.HTTPConnection(address, timeout=LISTENING_S)
    try:
        connection.request("GET", "/api/v1/events")
        stream = connection.getresponse()
        until_s = time.monotonic() + LISTENING_S
        while time.monotonic() < until_s and (line := stream.readline()):
            visits.events += line.startswith(b"data:")
    finally:
        connection.close()


def _get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    return connection.getresponse().read()
