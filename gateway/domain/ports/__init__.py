"""What the pipeline needs from the adapters, as Protocols. Each has one contract suite in `tests/contract/`."""

from gateway.domain.ports.cameras import Gate, Source
from gateway.domain.ports.control import Control
from gateway.domain.ports.events import EventBus, GrantListener, WebhookControl
from gateway.domain.ports.evidence import EvidenceStore
from gateway.domain.ports.record import CameraLeases, CursorStore, Store, WebhookStore
from gateway.domain.ports.runtimes import RuntimeDirectory, RuntimeListener
from gateway.domain.ports.spool import Spool

__all__ = [
    "CameraLeases",
    "Control",
    "CursorStore",
    "EventBus",
    "EvidenceStore",
    "Gate",
    "GrantListener",
    "RuntimeDirectory",
    "RuntimeListener",
    "Source",
    "Spool",
    "Store",
    "WebhookControl",
    "WebhookStore",
]
