"""The ASGI application: which handlers stand where, and what surrounds them."""

import msgspec
from litestar import Litestar, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import License, OpenAPIType, Schema, Tag
from litestar.plugins import OpenAPISchemaPlugin, PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar.types import ControllerRouterHandler, Message, Scope
from litestar.typing import FieldDefinition

from gateway.api.cameras import CameraController
from gateway.api.configuration import Configuration
from gateway.api.direct import infer
from gateway.api.events import stream_events
from gateway.api.health import HealthController, root_liveness
from gateway.api.hosts import HostMiddleware
from gateway.api.metrics import metrics
from gateway.api.models import ModelController
from gateway.api.origin import refuse_cross_site
from gateway.api.problems import answer_http_exception, answer_ruth_error, answer_unexpected
from gateway.api.pushed import push_frame
from gateway.api.rules import RuleController
from gateway.api.runtimes import RuntimeController, RuntimeRegistrationController, bearer_token_guard
from gateway.api.services import Services
from gateway.api.tracing import TraceMiddleware
from gateway.api.violations import ViolationController
from gateway.api.webhooks import WebhookController
from gateway.api.websocket import stream_websocket
from gateway.errors import RuthError

MAX_BODY_BYTES = 1_000_000
"""Enough for any JSON of this interface; a handler that takes pictures sets its own limit."""

TAGS = (
    Tag("cameras", "Where pictures come from."),
    Tag("rules", "What counts as a violation."),
    Tag("violations", "What was seen."),
    Tag("events", "What happens, as it happens."),
    Tag("webhooks", "Who is sent events."),
    Tag("models", "What runtimes can run."),
    Tag("runtimes", "Where models run."),
    Tag("health", "Whether everything is well."),
    Tag("metrics", "What is counted and measured."),
    Tag("internal", "Between the parts of Ruth AI."),
)


class _Application(Litestar):
    """Litestar for msgspec's values alone, as all of ours are."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        """Leave out Pydantic's: it comes with Piccolo, and would cost an eighth of the start and 8 MB for nothing."""
        return [*plugins, MsgspecDIPlugin()]


class _PayloadsAreObjects(OpenAPISchemaPlugin):
    """Says in the document what JSON that is passed on as it is holds: an event's payload."""

    @staticmethod
    def is_plugin_supported_type(value: object) -> bool:
        """Whether it is such JSON."""
        return value is msgspec.Raw

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: object) -> Schema:  # noqa: ARG002 - called by Litestar
        """Any object."""
        return Schema(type=OpenAPIType.OBJECT, additional_properties=Schema())


def build_app(services: Services) -> Litestar:
    """Build the HTTP interface over the gateway's parts; whoever built them starts and stops them."""
    configuration = Configuration(services.store, services.control, services.metrics)
    return _Application(
        route_handlers=[
            Router("/api/v1", route_handlers=_public_handlers()),
            Router(
                "/api/internal",
                route_handlers=[RuntimeRegistrationController],
                guards=[bearer_token_guard(services.runtime_token)],
            ),
            root_liveness,
            metrics,
        ],
        dependencies={
            "services": Provide(lambda: services, sync_to_thread=False),
            "configuration": Provide(lambda: configuration, sync_to_thread=False),
        },
        exception_handlers={
            RuthError: answer_ruth_error,
            HTTPException: answer_http_exception,
            Exception: answer_unexpected,
        },
        middleware=[TraceMiddleware(), HostMiddleware(services.allowed_hosts)],
        before_request=refuse_cross_site,
        before_send=[add_security_headers],
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=_openapi(services.version),
        plugins=[_PayloadsAreObjects()],
        logging_config=None,
    )


async def add_security_headers(message: Message, _: Scope) -> None:
    """Keep browsers from guessing content types, on every answer."""
    if message["type"] == "http.response.start":
        message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]


def _public_handlers() -> list[ControllerRouterHandler]:
    return [
        HealthController,
        RuntimeController,
        ModelController,
        infer,
        CameraController,
        push_frame,
        RuleController,
        ViolationController,
        stream_events,
        stream_websocket,
        WebhookController,
    ]


def _openapi(version: str) -> OpenAPIConfig:
    """The document alone: every page that Litestar could render it with loads its scripts from the internet."""
    return OpenAPIConfig(
        title="Ruth AI gateway",
        version=version,
        description="Cameras, rules and the violations seen. Errors are problem details (RFC 9457); times are UTC.",
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        tags=list(TAGS),
        path="/schema",
        render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
    )
