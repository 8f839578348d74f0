"""What is published where by MQTT: events, and what Home Assistant's discovery asks for.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from gateway.domain.camera import Camera
from gateway.domain.event import Event

ONLINE, OFFLINE = "online", "offline"
ON, OFF = "ON", "OFF"
NO_DISCOVERY = "none"

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")
_SENSORS = ("binary_sensor", "sensor")


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of topics, and what stands in those of the discovery.

    Attributes:
        prefix: Of all topics but those of the discovery.
        discovery: Where Home Assistant looks for them; `none` for nowhere.
    """

    prefix: str = "ruth_ai"
    discovery: str = "homeassistant"

    @property
    def client_id(self) -> str:
        """Name of the connection: one per prefix, so that a replica that takes over ends the other's."""
        return f"ruth-ai-{self._node}"

    @property
    def status(self) -> str:
        """`online` while events are sent, retained; the broker says `offline` when the connection breaks."""
        return f"{self.prefix}/status"

    def event(self, event: Event) -> str:
        """Of an event; one that concerns no camera stands under `all`."""
        return f"{self.prefix}/events/{event.camera_id or 'all'}/{event.type}"

    def violation(self, camera_id: str) -> str:
        """`ON` while a violation goes on, retained."""
        return f"{self.prefix}/cameras/{camera_id}/violation"

    def last_violation(self, camera_id: str) -> str:
        """The newest violation as the API gives it, retained."""
        return f"{self.prefix}/cameras/{camera_id}/last_violation"

    def of_camera(self, camera_id: str) -> tuple[str, ...]:
        """All that is retained of a camera."""
        states = (self.violation(camera_id), self.last_violation(camera_id))
        return tuple(self._config(kind, camera_id) for kind in self._sensors) + states

    def found(self) -> tuple[str, ...]:
        """Patterns of the topics by which all cameras that were ever announced are found."""
        return tuple(self._config(kind, "+") for kind in self._sensors)

    def camera_of(self, topic: str) -> str:
        """Whose discovery topic it is; empty if nobody's."""
        for pattern in self.found():
            head, tail = pattern.split("+")
            if topic.startswith(head) and topic.endswith(tail):
                return topic[len(head) : -len(tail)]
        return ""

    def discovered(self, camera: Camera) -> Mapping[str, dict[str, Any]]:
        """What Home Assistant is told of a camera, by topic; nothing without discovery."""
        violation, last = self.violation(camera.id), self.last_violation(camera.id)
        entities = {
            "binary_sensor": {"name": "Violation", "state_topic": violation, "device_class": "safety"},
            "sensor": {
                "name": "Last violation",
                "state_topic": last,
                "value_template": "{{ value_json.rule_name }}",
                "json_attributes_topic": last,
                "icon": "mdi:shield-alert",
            },
        }
        return {
            self._config(kind, camera.id): entities[kind] | self._shared(camera, entities[kind]["state_topic"])
            for kind in self._sensors
        }

    def _shared(self, camera: Camera, state_topic: str) -> dict[str, Any]:
        """What both entities have. Ids outlive a camera's name."""
        return {
            "unique_id": f"{self._node}_{camera.id}_{state_topic.rpartition('/')[2]}",
            "availability_topic": self.status,
            "qos": 1,
            "device": {
                "identifiers": [f"{self._node}_{camera.id}"],
                "name": camera.settings.name,
                "manufacturer": "Ruth AI",
                "model": camera.settings.model,
            },
            "origin": {"name": "Ruth AI", "sw_version": version("ruth-ai")},
        }

    def _config(self, kind: str, camera_id: str) -> str:
        return f"{self.discovery}/{kind}/{self._node}/{camera_id}/config"

    @property
    def _sensors(self) -> tuple[str, ...]:
        return () if self.discovery == NO_DISCOVERY else _SENSORS

    @property
    def _node(self) -> str:
        return _NOT_IN_IDS.sub("_", self.prefix)
