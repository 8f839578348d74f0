"""Which replica runs which camera: what the replicas of one database tell each other."""

from collections.abc import Mapping

import msgspec


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """Who has a camera.

    Attributes:
        camera_id: Which camera.
        owner: Name of the replica that has it; None while nobody has.
        epoch: Grows each time that it goes to another one; what an earlier owner writes is known by its smaller one.
        revision: Differs when the camera or one of its rules was changed; None when the camera was deleted.
        enabled: Whether it is to run.
    """

    camera_id: str
    owner: str | None = None
    epoch: int = 0
    revision: str | None = ""
    enabled: bool = True


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica sees when it says that it lives.

    Attributes:
        replicas: Names of those that live, this one among them.
        holdings: Every camera on record, and deleted ones whose episodes nobody has ended yet.
    """

    replicas: tuple[str, ...]
    holdings: tuple[Holding, ...]


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A camera that a replica has now.

    Attributes:
        camera_id: Which camera.
        epoch: The epoch of its being there; 0 where there is one gateway alone, and nothing to tell apart.
        states: States of its rules as the owner before left them, by rule id; None where nobody else had the camera
            since this replica did, so that what its own spool says is newer.
    """

    camera_id: str
    epoch: int
    states: Mapping[str, bytes] | None = None


class CameraStates(msgspec.Struct, frozen=True, kw_only=True):
    """States of all rules of a camera, on their way from the spool to the database.

    Attributes:
        camera_id: Which camera.
        epoch: Of its owner; the database takes them from the newest owner alone.
        states: By rule id.
        version: How often they had changed; tells the spool what has been carried.
    """

    camera_id: str
    epoch: int
    states: Mapping[str, bytes]
    version: int
