"""Keeps a broker's retained topics in line with the cameras and their violations."""

import asyncio

import aiomqtt
import msgspec

from gateway.delivery.topics import OFF, ON, Topics
from gateway.domain.camera import Camera
from gateway.domain.event import Event
from gateway.domain.ports import Store
from gateway.domain.violation import Violation, ViolationQuery
from gateway.errors import NotFoundError

MOST_ONGOING = 500
"""Of one camera, the newest; a rule may have one for each object that it follows. Older ones count once they change."""


class Announcer:
    """What one connection retains at the broker. Says what is on record now, however old the event that it is told of.

    Args:
        client: The connection.
        topics: What goes where.
        store: Holds cameras and violations.
    """

    def __init__(self, client: aiomqtt.Client, topics: Topics, store: Store) -> None:
        self._client = client
        self._topics = topics
        self._store = store
        self._lock = asyncio.Lock()
        self._retained: dict[str, bytes] = {}
        self._cameras: set[str] = set()
        self._ongoing: dict[str, set[str]] = {}
        self._last: dict[str, Violation] = {}

    async def look_at_cameras(self) -> None:
        """Announce cameras that are new or have another name, and take back those that are gone.

        Raises:
            DatabaseError: They can't be read.
            MqttError: The broker is away.
        """
        async with self._lock:
            cameras = {camera.id: camera for camera in await self._store.cameras()}
            for camera_id in self._cameras - cameras.keys():
                await self._remove(camera_id)
            for camera in cameras.values():
                await self._announce(camera)

    async def take_back(self, topic: str) -> None:
        """A discovery topic is retained at the broker: take it back unless there is such a camera."""
        camera_id = self._topics.camera_of(topic)
        async with self._lock:
            if camera_id and camera_id not in self._cameras:
                await self._remove(camera_id)

    async def happened(self, event: Event) -> None:
        """Bring the states of an event's camera in line with what is on record of its violation now."""
        if not event.type.startswith("violation."):
            return
        violation = await self._on_record(event.said()["id"])
        async with self._lock:
            if violation is not None and event.camera_id in self._cameras:
                self._note(violation)
                await self._put_states(event.camera_id)

    async def _announce(self, camera: Camera) -> None:
        is_new = camera.id not in self._cameras
        self._cameras.add(camera.id)
        for topic, payload in self._topics.discovered(camera).items():
            await self._put(topic, msgspec.json.encode(payload))
        if is_new:
            newest = ViolationQuery(camera_id=camera.id, limit=1)
            for query in (newest, msgspec.structs.replace(newest, ongoing=True, limit=MOST_ONGOING)):
                for violation in await self._store.violations(query):
                    self._note(violation)
            await self._put_states(camera.id)

    async def _remove(self, camera_id: str) -> None:
        self._cameras.discard(camera_id)
        self._ongoing.pop(camera_id, None)
        self._last.pop(camera_id, None)
        for topic in self._topics.of_camera(camera_id):
            await self._put(topic, b"")
            del self._retained[topic]

    def _note(self, violation: Violation) -> None:
        ongoing = self._ongoing.setdefault(violation.camera_id, set())
        (ongoing.discard if violation.ended_at else ongoing.add)(violation.id)
        last = self._last.get(violation.camera_id)
        if last is None or violation.id >= last.id:
            self._last[violation.camera_id] = violation

    async def _put_states(self, camera_id: str) -> None:
        await self._put(self._topics.violation(camera_id), (ON if self._ongoing.get(camera_id) else OFF).encode())
        if last := self._last.get(camera_id):
            await self._put(self._topics.last_violation(camera_id), msgspec.json.encode(last))

    async def _put(self, topic: str, payload: bytes) -> None:
        """Have the broker retain something, unless it does; an empty payload takes back what it retains."""
        if self._retained.get(topic) != payload:
            await self._client.publish(topic, payload, qos=1, retain=True)
            self._retained[topic] = payload

    async def _on_record(self, violation_id: str) -> Violation | None:
        try:
            return await self._store.violation(violation_id)
        except NotFoundError:
            return None
