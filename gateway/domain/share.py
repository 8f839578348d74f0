"""Who should take and give up which cameras, so that each replica has its share and few cameras move."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gateway.domain.lease import Holding


@dataclass(frozen=True, slots=True)
class Share:
    """What a replica should do now.

    Attributes:
        take: Cameras that nobody has.
        release: Cameras of its own that others should have; one of a kind at a time, so that a newcomer gets its part
            while most cameras go on.
    """

    take: tuple[str, ...] = ()
    release: tuple[str, ...] = ()


def share(me: str, replicas: Collection[str], holdings: Sequence[Holding]) -> Share:
    """Decide for one replica; replicas that see the same take different cameras.

    Cameras that run, that are switched off and that were deleted are shared out each for themselves.

    Args:
        me: The replica that decides.
        replicas: Those that live; this one is one of them, whether named or not.
        holdings: Who has which camera.
    """
    live = sorted({me, *replicas})
    kinds: dict[tuple[bool, bool], list[Holding]] = {}
    for holding in holdings:
        kinds.setdefault((holding.revision is None, holding.enabled), []).append(holding)
    shares = [_share(me, live, sorted(each, key=lambda holding: holding.camera_id)) for each in kinds.values()]
    return Share(
        tuple(camera for each in shares for camera in each.take),
        tuple(camera for each in shares for camera in each.release),
    )


def _share(me: str, live: Sequence[str], holdings: Sequence[Holding]) -> Share:
    owners = Counter(holding.owner for holding in holdings)
    counts = {name: owners[name] for name in live}
    quotas = _quotas(counts, len(holdings))
    free = [holding.camera_id for holding in holdings if holding.owner not in counts]
    mine = [holding.camera_id for holding in holdings if holding.owner == me]
    before = sum(max(0, quotas[name] - counts[name]) for name in live if name < me)
    wanted = max(0, quotas[me] - counts[me])
    release = mine[-1:] if counts[me] > quotas[me] else []
    return Share(tuple(free[before : before + wanted]), tuple(release))


def _quotas(held: Mapping[str, int], cameras: int) -> dict[str, int]:
    """Equal parts; those that have most already have the odd ones, so that fewest cameras move."""
    each, odd = divmod(cameras, len(held))
    by_most = sorted(held, key=lambda name: (-held[name], name))
    return {name: each + (place < odd) for place, name in enumerate(by_most)}
