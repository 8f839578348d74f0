"""What Home Assistant's documentation allows in a discovery message.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery, …/binary_sensor.mqtt/, …/sensor.mqtt/
"""

import re

import msgspec

TOPIC = re.compile(r"homeassistant/(?P<component>\w+)/(?:[a-zA-Z0-9_-]+/)?[a-zA-Z0-9_-]+/config")
SHARED = {
    "availability_topic", "payload_available", "payload_not_available", "availability_mode", "device", "origin", "name",
    "unique_id", "icon", "qos", "state_topic", "value_template", "json_attributes_topic", "json_attributes_template",
    "device_class", "enabled_by_default", "entity_category", "entity_picture", "expire_after", "force_update",
}  # fmt: skip
OPTIONS = {
    "binary_sensor": SHARED | {"payload_on", "payload_off", "off_delay"},
    "sensor": SHARED | {"state_class", "unit_of_measurement", "suggested_display_precision", "options"},
}
DEVICE = {
    "configuration_url", "connections", "hw_version", "identifiers", "manufacturer", "model", "model_id", "name",
    "serial_number", "suggested_area", "sw_version", "via_device",
}  # fmt: skip
BINARY_CLASSES = {"safety", "problem", "motion", "occupancy", "presence", "smoke", "sound", "tamper"}


def check_discovery(topic: str, payload: bytes) -> None:
    """Fail where Home Assistant would refuse a message, or could make no lasting entity of it."""
    match = TOPIC.fullmatch(topic)
    assert match, topic
    config = msgspec.json.decode(payload)
    assert set(config) <= OPTIONS[match["component"]], config.keys()
    for key in ("name", "unique_id", "state_topic", "availability_topic"):
        assert isinstance(config[key], str)
        assert config[key]
    for key in ("state_topic", "availability_topic", "json_attributes_topic"):
        assert not re.search(r"[+#\0]", config.get(key, ""))
    assert config["qos"] in (0, 1, 2)
    assert set(config["device"]) <= DEVICE
    assert config["device"]["identifiers"]
    assert set(config["origin"]) <= {"name", "sw_version", "support_url"}
    assert config["origin"]["name"]
    if match["component"] == "binary_sensor":
        assert config["device_class"] in BINARY_CLASSES
