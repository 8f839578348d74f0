"""Looks at models that a running Triton was told to load, and has those unloaded that are not what was published."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from triton_agent.integrity import Integrity
from triton_agent.logs import Log
from triton_agent.triton_api import ServedModel, TritonApi

Key = tuple[str, str]
"""Model and version."""


@dataclass(slots=True)
class Doorkeeper:
    """Remembers what was served at the last look. Blocking; used from one thread at a time.

    A version that was loaded again under its number is told by its statistics, which begin anew. One whose file changes
    while it is served goes on as it was loaded: Triton doesn't read the file again.

    Args:
        repository: What Triton loads from.
        api: Unloads.
        integrity: Compares with manifests.
        log: Where it is told.
    """

    repository: Path
    api: TritonApi
    integrity: Integrity
    log: Log
    _served: frozenset[Key] = field(default=frozenset())
    _counts: dict[Key, int] = field(default_factory=dict[Key, int])

    def admit(self, models: Sequence[ServedModel]) -> tuple[ServedModel, ...]:
        """What of the models that Triton has may be declared: an altered one, loaded since the last look, isn't loaded.

        Raises:
            UnreachableError: Triton does not answer.
        """
        loaded = frozenset((model.model_id, model.version) for model in models if model.loaded)
        before, self._counts = self._counts, {key: seen.inferences for key, seen in self.api.statistics().items()}
        again = {key for key, count in self._counts.items() if count < before.get(key, 0)}
        new = sorted({name for name, _ in (loaded - self._served) | again})
        altered = self.integrity.altered(self.repository / name for name in new)
        for name, reason in altered.items():
            self.log.error("model unloaded: it is not what was published", model=name, reason=reason)
            self.api.unload(name)
        self._served = frozenset(each for each in loaded if each[0] not in altered)
        return tuple(replace(each, loaded=each.loaded and each.model_id not in altered) for each in models)
