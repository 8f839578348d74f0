"""Models over all runtimes."""

from http import HTTPStatus
from typing import Annotated, TypeAlias

from litestar import Controller, get, post
from litestar.params import PathParameter

from gateway.api.page import Page
from gateway.api.problems import documented
from gateway.api.services import Injected
from gateway.domain.runtime import ModelStatus

ModelName: TypeAlias = Annotated[str, PathParameter(description="Triton's name of the model.", max_length=128)]

STEERING_PROBLEMS = documented(
    HTTPStatus.NOT_FOUND,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)


class ModelPage(Page, frozen=True, kw_only=True):
    """Models of the registered runtimes."""

    items: list[ModelStatus]


class ModelController(Controller):
    """What the runtimes can run."""

    path = "/models"
    tags = ("models",)

    @get(operation_id="list_models", summary="Every model that a registered runtime has")
    async def list_models(self, services: Injected) -> ModelPage:
        """Where each is, and whether frames can be scheduled to it."""
        return ModelPage(items=list(services.control.models()))

    @post(
        "/{name:str}/load",
        status_code=HTTPStatus.NO_CONTENT,
        operation_id="load_model",
        summary="Load a model on every runtime that has it",
        responses=STEERING_PROBLEMS,
    )
    async def load(self, name: ModelName, services: Injected) -> None:
        """Returns when it answers."""
        await services.control.load_model(name)

    @post(
        "/{name:str}/unload",
        status_code=HTTPStatus.NO_CONTENT,
        operation_id="unload_model",
        summary="Unload a model everywhere",
        responses=STEERING_PROBLEMS,
    )
    async def unload(self, name: ModelName, services: Injected) -> None:
        """Its cameras get no more verdicts until it is loaded again."""
        await services.control.unload_model(name)
