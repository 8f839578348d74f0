"""Runtimes: their registration by themselves, and the list of them."""

import hmac
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, TypeAlias

import msgspec
from litestar import Controller, delete, get, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import JSONBody, PathParameter

from gateway.api.page import Page
from gateway.api.problems import documented
from gateway.api.services import Injected
from gateway.domain.capability import Capability
from gateway.domain.runtime import RuntimeStatus
from gateway.errors import AuthenticationError

AnyConnection: TypeAlias = ASGIConnection[Any, Any, Any, Any]
RuntimeId: TypeAlias = Annotated[str, PathParameter(description="As declared.", max_length=128)]
RuntimeGuard: TypeAlias = Callable[[AnyConnection, BaseRouteHandler], None]


DRAIN_PROBLEMS = documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a runtime that declared itself.

    Attributes:
        runtime_id: As declared.
        heartbeat_interval_s: How often to repeat the declaration; after three omissions the runtime is out.
    """

    runtime_id: str
    heartbeat_interval_s: float


class RuntimePage(Page, frozen=True, kw_only=True):
    """Registered runtimes."""

    items: list[RuntimeStatus]


class RuntimeRegistrationController(Controller):
    """Where runtimes declare themselves; not for people."""

    path = "/runtime"
    tags = ("internal",)

    @post(
        "/register",
        status_code=HTTPStatus.OK,
        operation_id="register_runtime",
        summary="Declare a runtime's capabilities",
        description="The first declaration registers the runtime; repeating it is its heartbeat.",
        responses=documented(HTTPStatus.UNAUTHORIZED, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY),
    )
    async def register(self, data: JSONBody[Capability], services: Injected) -> Registration:
        """Take the declaration to the scheduler."""
        services.control.register(data)
        return Registration(runtime_id=data.runtime_id, heartbeat_interval_s=services.heartbeat_interval_s)

    @delete(
        "/{runtime_id:str}",
        operation_id="deregister_runtime",
        summary="Let go of a runtime that shuts down",
        responses=documented(HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY),
    )
    async def deregister(
        self,
        runtime_id: RuntimeId,
        services: Injected,
    ) -> None:
        """Send it no more frames; answers when those on their way are done with, so that it may end then."""
        await services.control.deregister(runtime_id)


class RuntimeController(Controller):
    """Where models run."""

    path = "/runtimes"
    tags = ("runtimes",)

    @get(operation_id="list_runtimes", summary="Every registered runtime")
    async def list_runtimes(self, services: Injected) -> RuntimePage:
        """What each declared, what is made of it, and how it is doing."""
        return RuntimePage(items=list(services.control.runtimes()))

    @post(
        "/{runtime_id:str}/drain",
        status_code=HTTPStatus.NO_CONTENT,
        operation_id="drain_runtime",
        summary="Send a runtime no more frames",
        responses=DRAIN_PROBLEMS,
    )
    async def drain(self, runtime_id: RuntimeId, services: Injected) -> None:
        """Its cameras go to other runtimes; frames on their way are answered. It stays so until it is undrained."""
        services.control.drain_runtime(runtime_id)

    @post(
        "/{runtime_id:str}/undrain",
        status_code=HTTPStatus.NO_CONTENT,
        operation_id="undrain_runtime",
        summary="Let a drained runtime have frames again",
        responses=DRAIN_PROBLEMS,
    )
    async def undrain(self, runtime_id: RuntimeId, services: Injected) -> None:
        """It takes its share back."""
        services.control.undrain_runtime(runtime_id)


def bearer_token_guard(token: str | None) -> RuntimeGuard:
    """Let through only callers that show the token; with None, every caller."""

    def guard(connection: AnyConnection, _handler: BaseRouteHandler) -> None:
        scheme, _, shown = connection.headers.get("Authorization", "").partition(" ")
        if token is None:
            return
        if scheme.lower() != "bearer" or not hmac.compare_digest(shown.strip().encode(), token.encode()):
            raise AuthenticationError("show the runtimes' token as `Authorization: Bearer …` (RUTH_AI_RUNTIME_TOKEN)")

    return guard
