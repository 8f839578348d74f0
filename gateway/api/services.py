"""What the handlers work with: given to `build_app` once, handed to each handler by Litestar."""

from dataclasses import dataclass
from typing import TypeAlias

from litestar.di import NamedDependency
from litestar.params import SkipValidation

from gateway.api.configuration import Configuration
from gateway.domain.ports import Control, EventBus, EvidenceStore, Store, WebhookControl, WebhookStore
from gateway.health import HealthCheck
from gateway.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts of the gateway that HTTP reaches.

    Attributes:
        store: Cameras, rules, violations, outbox.
        evidence: Pictures of violations.
        bus: Events of this process.
        control: The pipeline.
        health: How the parts are.
        metrics: What is counted.
        webhooks: Webhooks on record.
        sender: Sends to them.
        runtime_token: Bearer token that runtimes show when they register; None lets every caller register.
        heartbeat_interval_s: How often a runtime is to repeat its registration.
        allowed_hosts: Names of this gateway, see `gateway.api.hosts`.
        version: Of this program.
    """

    store: Store
    evidence: EvidenceStore
    bus: EventBus
    control: Control
    health: HealthCheck
    metrics: Metrics
    webhooks: WebhookStore
    sender: WebhookControl
    runtime_token: str | None = None
    heartbeat_interval_s: float = 5.0
    allowed_hosts: frozenset[str] = frozenset()
    version: str


Injected: TypeAlias = NamedDependency[SkipValidation[Services]]
"""Annotates a handler's `services` argument."""

InjectedConfiguration: TypeAlias = NamedDependency[SkipValidation[Configuration]]
"""Annotates the `configuration` argument of a handler that changes cameras or rules."""
