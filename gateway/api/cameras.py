"""Cameras: what is on record, and how each is doing."""

import datetime as dt
from http import HTTPStatus

import msgspec
from litestar import Controller, delete, get, post, put
from litestar.params import JSONBody

from gateway.api.page import CameraId, Page
from gateway.api.problems import documented
from gateway.api.services import Injected, InjectedConfiguration
from gateway.domain.camera import Camera, CameraSettings, CameraStatus
from gateway.domain.ports import Control
from gateway.masking import mask_secrets

PROBLEMS = documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE)


class CameraView(CameraSettings, frozen=True, kw_only=True):
    """A camera as the API shows it: its settings, credentials in the URL masked, and how it is doing."""

    id: str
    created_at: dt.datetime
    updated_at: dt.datetime
    status: CameraStatus


class CameraPage(Page, frozen=True, kw_only=True):
    """Cameras."""

    items: list[CameraView]


class CameraController(Controller):
    """The cameras."""

    path = "/cameras"
    tags = ("cameras",)

    @get(
        operation_id="list_cameras",
        summary="All cameras, oldest first",
        responses=documented(HTTPStatus.SERVICE_UNAVAILABLE),
    )
    async def list_cameras(self, services: Injected) -> CameraPage:
        """All of them, on one page."""
        cameras = await services.store.cameras()
        return CameraPage(items=[show(camera, services.control) for camera in cameras])

    @post(
        operation_id="create_camera",
        summary="Put a camera on record and start it",
        responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    )
    async def create_camera(
        self, data: JSONBody[CameraSettings], services: Injected, configuration: InjectedConfiguration
    ) -> CameraView:
        """Answers before the camera has connected; its status tells how that goes."""
        return show(await configuration.create_camera(data), services.control)

    @get("/{camera_id:str}", operation_id="get_camera", summary="One camera", responses=PROBLEMS)
    async def get_camera(self, camera_id: CameraId, services: Injected) -> CameraView:
        """Settings and status."""
        return show(await services.store.camera(camera_id), services.control)

    @put(
        "/{camera_id:str}",
        operation_id="replace_camera",
        summary="Replace a camera's settings",
        description="A URL sent back exactly as it was shown, with `***` for its password, keeps the one on record.",
        responses=PROBLEMS,
    )
    async def replace_camera(
        self,
        camera_id: CameraId,
        data: JSONBody[CameraSettings],
        services: Injected,
        configuration: InjectedConfiguration,
    ) -> CameraView:
        """Takes effect at once; other cameras go on undisturbed."""
        return show(await configuration.replace_camera(camera_id, data), services.control)

    @delete(
        "/{camera_id:str}",
        operation_id="delete_camera",
        summary="Remove a camera and its rules",
        description="Its violations stay.",
        responses=PROBLEMS,
    )
    async def delete_camera(self, camera_id: CameraId, configuration: InjectedConfiguration) -> None:
        """Stops it first."""
        await configuration.delete_camera(camera_id)


def show(camera: Camera, control: Control) -> CameraView:
    """A camera for an API consumer's eyes: no credential in its URL or in the reason of its state."""
    status = control.camera_status(camera.id)
    settings = msgspec.structs.replace(camera.settings, url=mask_secrets(camera.settings.url))
    return CameraView(
        id=camera.id,
        created_at=camera.created_at,
        updated_at=camera.updated_at,
        status=msgspec.structs.replace(status, reason=mask_secrets(status.reason)),
        **msgspec.structs.asdict(settings),
    )
