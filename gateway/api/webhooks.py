"""Webhooks: who is sent events, and what could not be sent."""

import datetime as dt
from http import HTTPStatus
from typing import Annotated, TypeAlias

import msgspec
from litestar import Controller, delete, get, post, put
from litestar.params import JSONBody, PathParameter, QueryParameter

from gateway.api.page import LARGEST_NUMBER, Page, WebhookId
from gateway.api.problems import documented
from gateway.api.services import Injected
from gateway.domain.event import EventType
from gateway.domain.webhook import DeadLetter, Secret, Url, Webhook, WebhookSettings, check_url
from gateway.masking import mask_secrets

PROBLEMS = documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE)
LETTERS_PAGE = 100

LetterNumber: TypeAlias = Annotated[
    int, PathParameter(description="The dead letter's number.", ge=1, le=LARGEST_NUMBER)
]
After: TypeAlias = Annotated[
    int, QueryParameter(name="cursor", description="`next_cursor` of the page before.", ge=0, le=LARGEST_NUMBER)
]


class WebhookChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings that replace those on record; without a secret, and with the URL as it was shown, these stay."""

    url: Url
    secret: Secret | None = None
    types: tuple[EventType, ...] = ()
    camera_ids: tuple[str, ...] = ()
    enabled: bool = True


class WebhookView(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook as the API shows it: never its secret, and no credential in its URL."""

    id: str
    url: str
    types: tuple[EventType, ...]
    camera_ids: tuple[str, ...]
    enabled: bool
    cursor: int
    last_error: str
    created_at: dt.datetime
    updated_at: dt.datetime


class WebhookPage(Page, frozen=True, kw_only=True):
    """Webhooks."""

    items: list[WebhookView]


class DeadLetterPage(Page, frozen=True, kw_only=True):
    """Dead letters, oldest first."""

    items: list[DeadLetter]


class WebhookController(Controller):
    """Who is sent events."""

    path = "/webhooks"
    tags = ("webhooks",)

    @get(
        operation_id="list_webhooks",
        summary="All webhooks, oldest first",
        responses=documented(HTTPStatus.SERVICE_UNAVAILABLE),
    )
    async def list_webhooks(self, services: Injected) -> WebhookPage:
        """All of them, on one page."""
        return WebhookPage(items=[show(webhook) for webhook in await services.webhooks.webhooks()])

    @post(
        operation_id="create_webhook",
        summary="Have events sent to a URL",
        description="It is sent what happens from now on, signed by the Standard Webhooks.",
        responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    )
    async def create_webhook(self, data: JSONBody[WebhookSettings], services: Injected) -> WebhookView:
        """Whether the receiver answers, `last_error` tells."""
        check_url(data.url)
        webhook = await services.webhooks.create(data)
        services.sender.changed()
        return show(webhook)

    @get("/{webhook_id:str}", operation_id="get_webhook", summary="One webhook", responses=PROBLEMS)
    async def get_webhook(self, webhook_id: WebhookId, services: Injected) -> WebhookView:
        """Settings, and how far it has come."""
        return show(await services.webhooks.webhook(webhook_id))

    @put(
        "/{webhook_id:str}", operation_id="replace_webhook", summary="Replace a webhook's settings", responses=PROBLEMS
    )
    async def replace_webhook(
        self, webhook_id: WebhookId, data: JSONBody[WebhookChange], services: Injected
    ) -> WebhookView:
        """It goes on where it was."""
        known = (await services.webhooks.webhook(webhook_id)).settings
        settings = merged(known, data)
        if settings.url != known.url:  # else one that an older gateway took could not be switched off
            check_url(settings.url)
        webhook = await services.webhooks.update(webhook_id, settings)
        services.sender.changed()
        return show(webhook)

    @delete("/{webhook_id:str}", operation_id="delete_webhook", summary="Send it nothing more", responses=PROBLEMS)
    async def delete_webhook(self, webhook_id: WebhookId, services: Injected) -> None:
        """Its dead letters go, too."""
        await services.webhooks.delete(webhook_id)
        services.sender.changed()

    @get(
        "/{webhook_id:str}/dead-letters",
        operation_id="list_dead_letters",
        summary="Events that were given up, oldest first",
        responses=PROBLEMS,
    )
    async def list_dead_letters(self, webhook_id: WebhookId, services: Injected, after: After = 0) -> DeadLetterPage:
        """With the reason of each."""
        await services.webhooks.webhook(webhook_id)
        letters = list(await services.webhooks.dead_letters(webhook_id, after, LETTERS_PAGE + 1))
        page = letters[:LETTERS_PAGE]
        return DeadLetterPage(items=page, next_cursor=str(page[-1].number) if len(letters) > LETTERS_PAGE else None)

    @post(
        "/{webhook_id:str}/dead-letters/{number:int}/resend",
        status_code=HTTPStatus.NO_CONTENT,
        operation_id="resend_dead_letter",
        summary="Send a dead letter again, now",
        description="It is gone once the receiver has it, and stays where the receiver fails again (502).",
        responses=PROBLEMS | documented(HTTPStatus.BAD_GATEWAY),
    )
    async def resend_dead_letter(self, webhook_id: WebhookId, number: LetterNumber, services: Injected) -> None:
        """One attempt."""
        await services.sender.resend(webhook_id, number)

    @delete(
        "/{webhook_id:str}/dead-letters/{number:int}",
        operation_id="delete_dead_letter",
        summary="Drop a dead letter",
        responses=PROBLEMS,
    )
    async def delete_dead_letter(self, webhook_id: WebhookId, number: LetterNumber, services: Injected) -> None:
        """The receiver never gets it."""
        await services.webhooks.drop_dead_letter(webhook_id, number)


def merged(known: WebhookSettings, change: WebhookChange) -> WebhookSettings:
    """The settings that a change leads to."""
    return WebhookSettings(
        url=known.url if change.url == mask_secrets(known.url) else change.url,
        secret=known.secret if change.secret is None else change.secret,
        types=change.types,
        camera_ids=change.camera_ids,
        enabled=change.enabled,
    )


def show(webhook: Webhook) -> WebhookView:
    """A webhook for an API consumer's eyes."""
    return WebhookView(
        id=webhook.id,
        url=mask_secrets(webhook.settings.url),
        types=webhook.settings.types,
        camera_ids=webhook.settings.camera_ids,
        enabled=webhook.settings.enabled,
        cursor=webhook.cursor,
        last_error=mask_secrets(webhook.last_error),
        created_at=webhook.created_at,
        updated_at=webhook.updated_at,
    )
