"""Parts that only some settings bring, imported where these do.

See `docs/adr/0161-a-start-imports-what-it-needs.md`.
"""

from typing import TYPE_CHECKING

from gateway.domain.clock import Clock
from gateway.errors import ConfigurationError
from gateway.metrics import Metrics
from gateway.settings import Settings
from gateway.sources import VasSession
from gateway.store.evidence import EvidenceFolder
from gateway.store.piccolo_store import PiccoloStore
from gateway.store.staged_evidence import StagedEvidence

if TYPE_CHECKING:
    from gateway.events.redis_bus import RedisEventBus


def redis_bus(settings: Settings, store: PiccoloStore) -> "RedisEventBus | None":
    """The fan-out between replicas; None without `redis_url`."""
    if settings.redis_url is None:
        return None
    from gateway.events.redis_bus import RedisEventBus

    return RedisEventBus(settings.redis_url, store)


def evidence_store(settings: Settings) -> EvidenceFolder | StagedEvidence:
    """A folder, or a bucket by way of one.

    Raises:
        ConfigurationError: The package for buckets isn't installed.
    """
    place = settings.evidence_place
    if place is None:
        return EvidenceFolder(settings.data_dir / "evidence")
    try:
        from gateway.store.s3_evidence import S3Evidence
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "RUTH_AI_EVIDENCE_URL needs the package obstore: install ruth-ai with its extra s3"
        ) from error
    return StagedEvidence(EvidenceFolder(settings.data_dir / "evidence-staged"), S3Evidence(place), place.staging_bytes)


def vas_session(settings: Settings, clock: Clock, metrics: Metrics) -> VasSession | None:
    """The session that all cameras of a VAS share; None without `vas_base_url`."""
    if settings.vas_base_url is None:
        return None
    return VasSession(
        settings.vas_base_url,
        settings.vas_client_id or "",
        settings.vas_client_secret or "",
        refresh_margin_s=settings.vas_token_refresh_margin_s,
        clock=clock,
        on_request=metrics.vas_requested,
    )
