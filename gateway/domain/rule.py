"""A rule of a camera: what counts as a violation, as a user defines it."""

from collections.abc import Collection
from enum import StrEnum
from typing import Annotated

import msgspec

from gateway.domain.definitions import RuleDefinition
from gateway.errors import InvalidInputError


class Severity(StrEnum):
    """How much a violation matters."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class RuleSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a user says of a rule.

    Attributes:
        name: For people.
        definition: The type of the rule and its parameters.
        severity: Severity of its violations.
        enabled: False keeps the rule on record without judging.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    definition: RuleDefinition
    severity: Severity = Severity.MEDIUM
    enabled: bool = True


def check_labels(settings: RuleSettings, known: Collection[str]) -> None:
    """Refuse labels that the model doesn't have.

    Raises:
        InvalidInputError: Names them, and what there is.
    """
    unknown = [label for label in settings.definition.counted_labels() if label not in known]
    if unknown:
        raise InvalidInputError(
            f"the rule {settings.name!r} counts {', '.join(unknown)}, which the model doesn't know; "
            f"it knows {', '.join(known)}"
        )


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule on record; `revision` grows with each change of its settings."""

    id: str
    camera_id: str
    revision: int
    settings: RuleSettings
