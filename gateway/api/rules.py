"""The rules of a camera."""

from http import HTTPStatus

import msgspec
from litestar import Controller, delete, get, post, put
from litestar.params import JSONBody

from gateway.api.page import CameraId, Page, RuleId
from gateway.api.problems import documented
from gateway.api.services import Injected, InjectedConfiguration
from gateway.domain.rule import Rule, RuleSettings

PROBLEMS = documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE)


class RuleView(RuleSettings, frozen=True, kw_only=True):
    """A rule as the API shows it."""

    id: str
    camera_id: str
    revision: int


class RulePage(Page, frozen=True, kw_only=True):
    """Rules of a camera."""

    items: list[RuleView]


class RuleController(Controller):
    """What counts as a violation on a camera."""

    path = "/cameras/{camera_id:str}/rules"
    tags = ("rules",)

    @get(operation_id="list_rules", summary="A camera's rules, oldest first", responses=PROBLEMS)
    async def list_rules(self, camera_id: CameraId, services: Injected) -> RulePage:
        """All of them, on one page."""
        camera = await services.store.camera(camera_id)
        return RulePage(items=[show(rule) for rule in await services.store.rules(camera.id)])

    @post(operation_id="create_rule", summary="Give a camera a rule", responses=PROBLEMS)
    async def create_rule(
        self, camera_id: CameraId, data: JSONBody[RuleSettings], configuration: InjectedConfiguration
    ) -> RuleView:
        """Judges from the next frame on."""
        return show(await configuration.create_rule(camera_id, data))

    @get("/{rule_id:str}", operation_id="get_rule", summary="One rule", responses=PROBLEMS)
    async def get_rule(self, camera_id: CameraId, rule_id: RuleId, services: Injected) -> RuleView:
        """As it stands."""
        return show(await services.store.rule(camera_id, rule_id))

    @put(
        "/{rule_id:str}",
        operation_id="replace_rule",
        summary="Replace a rule's settings",
        description="Raises its revision; violations tell the revision that they broke.",
        responses=PROBLEMS,
    )
    async def replace_rule(
        self, camera_id: CameraId, rule_id: RuleId, data: JSONBody[RuleSettings], configuration: InjectedConfiguration
    ) -> RuleView:
        """Judges from the next frame on."""
        return show(await configuration.replace_rule(camera_id, rule_id, data))

    @delete(
        "/{rule_id:str}",
        operation_id="delete_rule",
        summary="Remove a rule",
        description="Its violations stay.",
        responses=PROBLEMS,
    )
    async def delete_rule(self, camera_id: CameraId, rule_id: RuleId, configuration: InjectedConfiguration) -> None:
        """Ends its open episodes."""
        await configuration.delete_rule(camera_id, rule_id)


def show(rule: Rule) -> RuleView:
    """A rule with its settings beside its id."""
    return RuleView(
        id=rule.id, camera_id=rule.camera_id, revision=rule.revision, **msgspec.structs.asdict(rule.settings)
    )
