"""Health, liveness and readiness."""

from http import HTTPStatus

from litestar import Controller, Response, get
from litestar.openapi.datastructures import ResponseSpec

from gateway.api.services import Injected
from gateway.health import HealthReport, HealthStatus, Readiness
from gateway.logs import SERVICE


class HealthController(Controller):
    """How the gateway is."""

    path = "/health"
    tags = ("health",)

    @get(
        operation_id="get_health",
        summary="How the gateway and its parts are",
        description="503 when the status is `unhealthy`; the body is the same.",
        responses={HTTPStatus.SERVICE_UNAVAILABLE: ResponseSpec(HealthReport, description="Unhealthy")},
    )
    async def report(self, services: Injected) -> Response[HealthReport]:
        """Ask every part."""
        report = await services.health.report()
        return Response(report, status_code=_status(well=report.status is not HealthStatus.UNHEALTHY))

    @get("/live", operation_id="get_liveness", summary="Whether the process answers", sync_to_thread=False)
    def live(self) -> dict[str, str]:
        """Answer as long as the event loop runs."""
        return {"status": "alive", "service": SERVICE}

    @get(
        "/ready",
        operation_id="get_readiness",
        summary="Whether frames can become violations now",
        responses={HTTPStatus.SERVICE_UNAVAILABLE: ResponseSpec(Readiness, description="Not ready; see `reasons`")},
    )
    async def ready(self, services: Injected) -> Response[Readiness]:
        """Ask what a violation needs."""
        readiness = await services.health.readiness()
        return Response(readiness, status_code=_status(well=readiness.ready))


@get("/health", operation_id="get_root_liveness", summary="Liveness", tags=["health"], sync_to_thread=False)
def root_liveness() -> dict[str, str]:
    """Answer container health checks, which look here, as long as the event loop runs."""
    return {"status": "alive", "service": SERVICE}


def _status(*, well: bool) -> HTTPStatus:
    return HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
