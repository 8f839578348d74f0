"""What the pipeline needs from the adapters, as Protocols. Each has one contract suite in `tests/contract/`."""

import datetime as dt
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

from gateway.domain.camera import Camera, CameraSettings, CameraStatus
from gateway.domain.capability import Capability
from gateway.domain.event import Event, GrantChanged
from gateway.domain.frame import Frame
from gateway.domain.inference import InferenceResult
from gateway.domain.lease import CameraStates, Look, Taken
from gateway.domain.retention import EvidenceQuery
from gateway.domain.rule import Rule, RuleSettings
from gateway.domain.runtime import ModelStatus, RuntimeEntry, RuntimeStatus
from gateway.domain.still import Still
from gateway.domain.violation import AuditEntry, Violation, ViolationPatch, ViolationQuery, ViolationRecord
from gateway.domain.webhook import DeadLetter, Webhook, WebhookSettings


class Gate(Protocol):
    """Decides which of a camera's frames are looked at."""

    @property
    def fps(self) -> float:
        """About how many frames a second of frame time are admitted."""
        ...

    def admit(self, time_s: float) -> bool:
        """Whether the frame of this frame time is looked at; asked once for each frame, in their order."""
        ...

    def wait_turn(self, stopped: Callable[[], bool]) -> bool:
        """Wait until a frame is wanted of a source that could give one at any time; False when stopped meanwhile."""
        ...


class Source(Protocol):
    """Where frames come from. Blocking; used from one thread, except `close`, which any thread may call."""

    def open(self, anchor_s: float) -> None:
        """Connect. `anchor_s` is the frame time that the first frame gets.

        Raises:
            SourceUnavailableError: It can't be opened now.
            SourceRefusedError: Somebody has to change something at the camera or in its settings.
            SourceFormatError: It is no picture stream.
        """
        ...

    def read(self, gate: Gate | None = None) -> Frame | None:
        """Wait for the next frame; None when the stream has ended or the source was closed.

        With a gate, for the next one that it admits. It is asked as early as frame time is known: what it doesn't
        admit need not be converted, and often not even decoded.

        Raises:
            SourceUnavailableError: The connection was lost.
            SourceStalledError: Nothing has come for too long.
            SourceRefusedError: Somebody has to change something at the camera or in its settings.
            SourceFormatError: What comes can't be decoded.
        """
        ...

    def close(self) -> None:
        """Let go of everything and wake a blocked `read`; may be called twice."""
        ...


class Spool(Protocol):
    """The durable queue between detection and the database, and the rules' state. One writer."""

    async def load_rule_states(self) -> Mapping[tuple[str, str], bytes]:
        """The state of each rule by (camera id, rule id), as last committed."""
        ...

    async def commit(self, records: Sequence[ViolationRecord], states: Mapping[tuple[str, str], bytes]) -> None:
        """Keep records and rule states in one transaction; durable when this returns.

        Raises:
            SpoolError: Nothing of it was kept.
        """
        ...

    async def forget_rule_states(self, camera_id: str, rule_id: str | None = None) -> None:
        """Drop the state of one rule, or of all of a camera's."""
        ...

    async def awaited_clips(self) -> Sequence[str]:
        """Ids of the violations that opened saying their clip is being recorded, and of which nothing came since."""
        ...

    async def load_epochs(self) -> Mapping[str, int]:
        """Under which epoch each camera was adopted, by camera id."""
        ...

    async def adopt(self, camera_id: str, epoch: int, states: Mapping[str, bytes] | None) -> None:
        """Note the epoch of a camera, whose states are to be carried to the database from now on.

        Args:
            camera_id: The camera.
            epoch: As the database gave it.
            states: Take the place of the states kept; None leaves them.
        """
        ...

    async def disown(self, camera_id: str) -> None:
        """Drop a camera's states and its epoch."""
        ...

    async def uncarried(self, after: int) -> Sequence[CameraStates]:
        """States of adopted cameras that the database doesn't have.

        None while a record waits whose sequence number is greater than `after`: states must not be ahead of records.
        """
        ...

    async def note_carried(self, states: Sequence[CameraStates]) -> None:
        """The database has these states, or wants them no more."""
        ...

    async def oldest(self, limit: int) -> Sequence[tuple[int, ViolationRecord]]:
        """The oldest records not yet acknowledged, with their sequence numbers."""
        ...

    async def acknowledge(self, through: int) -> None:
        """Drop every record up to this sequence number: the database has them."""
        ...

    async def depth(self) -> int:
        """How many records wait."""
        ...


class Store(Protocol):
    """The record: cameras, rules, violations, outbox. Every method may raise `DatabaseError`."""

    async def ping(self) -> None:
        """Ask the database for an answer."""
        ...

    async def create_camera(self, settings: CameraSettings) -> Camera:
        """Put a camera on record."""
        ...

    async def update_camera(self, camera_id: str, settings: CameraSettings) -> Camera:
        """Replace a camera's settings; `NotFoundError` if there is none."""
        ...

    async def delete_camera(self, camera_id: str) -> None:
        """Remove a camera and its rules; its violations stay. `NotFoundError` if there is none."""
        ...

    async def camera(self, camera_id: str) -> Camera:
        """One camera; `NotFoundError` if there is none."""
        ...

    async def cameras(self) -> Sequence[Camera]:
        """All cameras, oldest first."""
        ...

    async def create_rule(self, camera_id: str, settings: RuleSettings) -> Rule:
        """Give a camera a rule; `NotFoundError` if there is no such camera."""
        ...

    async def update_rule(self, camera_id: str, rule_id: str, settings: RuleSettings) -> Rule:
        """Replace a rule's settings and raise its revision; `NotFoundError` if there is none."""
        ...

    async def delete_rule(self, camera_id: str, rule_id: str) -> None:
        """Remove a rule; its violations stay. `NotFoundError` if there is none."""
        ...

    async def rule(self, camera_id: str, rule_id: str) -> Rule:
        """One rule; `NotFoundError` if there is none."""
        ...

    async def rules(self, camera_id: str | None = None) -> Sequence[Rule]:
        """A camera's rules, or all rules, oldest first."""
        ...

    async def apply(self, records: Sequence[ViolationRecord], states: Sequence[CameraStates] = ()) -> Sequence[Event]:
        """Write spooled records, their outbox events and rule states in one transaction; harmless when repeated.

        What was seen is always taken. What only the owner of a camera may say (the states of its rules, and how a
        violation goes on that they hold) has no effect under an older epoch than the owner's.

        Returns:
            The events that this call wrote, in order; a record that was there already gives none.
        """
        ...

    async def patch_violation(self, violation_id: str, patch: ViolationPatch) -> tuple[Violation, Event]:
        """Change what a person may change, and write the event; `NotFoundError` if there is none."""
        ...

    async def record_grants(self, changes: Sequence[GrantChanged]) -> Sequence[Event]:
        """Write changed grants as outbox events; the events, in order."""
        ...

    async def violation(self, violation_id: str) -> Violation:
        """One violation; `NotFoundError` if there is none."""
        ...

    async def audit(self, violation_id: str) -> Sequence[AuditEntry]:
        """What was done with a violation by whom, oldest first; empty if there is none."""
        ...

    async def violations(self, query: ViolationQuery) -> Sequence[Violation]:
        """Violations, newest first (by id, which grows with time)."""
        ...

    async def count_by_status(self) -> Mapping[str, int]:
        """Number of violations in each status that occurs."""
        ...

    async def evidence_kept(self, query: EvidenceQuery) -> Sequence[Violation]:
        """Violations whose evidence may go: handled by somebody and over, oldest first."""
        ...

    async def cameras_with_evidence(self) -> Sequence[str]:
        """Ids of the cameras, still there or not, that have violations with evidence."""
        ...

    async def forget_evidence(self, violation_ids: Sequence[str], reason: str) -> Sequence[Event]:
        """Note that evidence was deleted, and why; the events, in order."""
        ...

    async def trim_events(self, before: dt.datetime, limit: int) -> int:
        """Delete the oldest events of before a time, `limit` at most, never the newest of all; how many.

        Whoever goes on from before them is told, by `events_missed`.
        """
        ...

    async def events_missed(self, after: int, before: int) -> Event | None:
        """Tells of events between two numbers that were trimmed; None where none was."""
        ...

    async def events_after(self, number: int, limit: int) -> Sequence[Event]:
        """Outbox events with a greater number, oldest first."""
        ...

    async def last_event_number(self) -> int:
        """Number of the newest event; 0 when there is none."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class CameraLeases(Protocol):
    """Which replica has which camera. Every method may raise `DatabaseError`."""

    async def look(self) -> Look:
        """Say that this replica lives, let go of those that don't, and see who has what.

        Raises:
            ConfigurationError: Another gateway has this one's name.
        """
        ...

    async def take(self, known: Mapping[str, int]) -> Sequence[Taken]:
        """Take cameras that nobody has, or that were this replica's in an earlier life.

        Args:
            known: Cameras to take, and under which epoch the spool knows each; 0 where it doesn't.

        Returns:
            Those that were got: another replica may have been faster.
        """
        ...

    async def release(self, camera_id: str, epoch: int) -> None:
        """Give a camera up, for another replica to take; nothing happens where it isn't this replica's."""
        ...

    async def forget(self, camera_id: str, epoch: int) -> None:
        """A deleted camera's episodes have been ended."""
        ...

    async def leave(self) -> None:
        """Give everything up at once: this replica ends."""
        ...


class WebhookStore(Protocol):
    """Webhooks on record. Every method may raise `DatabaseError`; `NotFoundError` where what is named isn't there."""

    async def create(self, settings: WebhookSettings) -> Webhook:
        """Put a webhook on record; it is sent what happens from now on."""
        ...

    async def update(self, webhook_id: str, settings: WebhookSettings) -> Webhook:
        """Replace its settings."""
        ...

    async def delete(self, webhook_id: str) -> None:
        """Remove it and its dead letters."""
        ...

    async def webhook(self, webhook_id: str) -> Webhook:
        """One webhook."""
        ...

    async def webhooks(self) -> Sequence[Webhook]:
        """All of them, oldest first."""
        ...

    async def hold(self, webhook_id: str, holder: str) -> bool:
        """Take or keep the right to send for 30 s; False while another replica has it."""
        ...

    async def release(self, holder: str) -> None:
        """Give up the right to send to any of them."""
        ...

    async def advance(self, webhook_id: str, cursor: int) -> None:
        """Events up to this one are done with; a cursor never goes back."""
        ...

    async def note_failure(self, webhook_id: str, reason: str) -> None:
        """Keep why an attempt failed."""
        ...

    async def bury(self, webhook_id: str, event: Event, attempts: int, reason: str) -> None:
        """Give an event up: it becomes a dead letter and the cursor passes it, in one transaction."""
        ...

    async def dead_letters(self, webhook_id: str, after: int, limit: int) -> Sequence[DeadLetter]:
        """Those with a greater number, oldest first."""
        ...

    async def dead_letter(self, webhook_id: str, number: int) -> DeadLetter:
        """One of them."""
        ...

    async def drop_dead_letter(self, webhook_id: str, number: int) -> None:
        """Remove one."""
        ...


class CursorStore(Protocol):
    """How far each way of sending events has come in the outbox. Every method may raise `DatabaseError`."""

    async def hold(self, name: str, holder: str) -> int | None:
        """Take or keep the right to send for 30 s; the number of the last event that is done with.

        None while another replica has it. A name that is new begins with the next event.
        """
        ...

    async def advance(self, name: str, number: int) -> None:
        """Events up to this one are done with; a cursor never goes back."""
        ...

    async def release(self, holder: str) -> None:
        """Give up the right to send by any of them."""
        ...


class WebhookControl(Protocol):
    """How the API steers the sending of webhooks."""

    def changed(self) -> None:
        """A webhook was added, changed or removed."""
        ...

    async def resend(self, webhook_id: str, number: int) -> None:
        """Send a dead letter again, now, and drop it; `NotFoundError`, `DeliveryError`."""
        ...


class EvidenceStore(Protocol):
    """Where pictures and clips of violations are kept."""

    async def put(self, name: str, content: bytes) -> str:
        """Keep a file under a name, durably and all or nothing; returns its sha256 (hex).

        Raises:
            StoreError: It can't be kept.
        """
        ...

    async def get(self, name: str) -> bytes:
        """Read a file; `NotFoundError` if there is none."""
        ...

    async def delete(self, name: str) -> None:
        """Delete a file, or a folder with all that is in it; nothing happens where there is neither.

        Raises:
            StoreError: It can't be deleted.
        """
        ...

    async def used_share(self) -> float:
        """How much of the disk it lies on is used, by whatever, 0..1; 0 where nothing bounds it."""
        ...


class EventBus(Protocol):
    """Fan-out of committed events to listeners of this process."""

    @property
    def closed(self) -> bool:
        """Whether the bus has closed, which is why its listeners ended."""
        ...

    def publish(self, events: Sequence[Event]) -> None:
        """Hand events to every listener; a listener that is too slow is cut off, never waited for."""
        ...

    def listen(self) -> AsyncIterator[Event]:
        """Events from now on; ends when the listener was too slow or the bus closes."""
        ...


class RuntimeListener(Protocol):
    """A replica's own view of the runtimes, as the directory keeps it in line with the others'."""

    def heard(self, entry: RuntimeEntry) -> None:
        """Another replica knows this of a runtime."""
        ...

    async def gone(self, runtime_id: str) -> None:
        """A runtime said goodbye to another replica; returns when nothing of this one is on its way to it any more."""
        ...

    def known(self) -> Sequence[RuntimeEntry]:
        """Every runtime that this replica knows."""
        ...


class RuntimeDirectory(Protocol):
    """Carries what the gateway's replicas know of runtimes from one to the others. What it keeps expires."""

    @property
    def hearing_since_s(self) -> float | None:
        """Since when (monotonic seconds) all that the others tell comes here; None while it may not."""
        ...

    def tell(self, entry: RuntimeEntry) -> None:
        """Tell the others, those that begin later too, until it is too old. Never blocks."""
        ...

    async def say_goodbye(self, runtime_id: str) -> None:
        """Have the others let go of a runtime; returns when they have, or could have by now."""
        ...

    async def run(self, listener: RuntimeListener) -> None:
        """Pass on what the others tell, until cancelled."""
        ...


class GrantListener(Protocol):
    """Who is told what cameras are granted. Never blocks."""

    def changed(self, change: GrantChanged) -> None:
        """A camera's grant has changed."""
        ...

    def forget(self, camera_id: str) -> None:
        """A camera is gone."""
        ...


class Control(Protocol):
    """How the API steers and asks the pipeline."""

    def register(self, capability: Capability) -> None:
        """Take a runtime's declaration, its first or a heartbeat."""
        ...

    async def deregister(self, runtime_id: str) -> None:
        """Let go of a runtime, its frames on their way being answered first; `NotFoundError` if it isn't registered."""
        ...

    def drain_runtime(self, runtime_id: str) -> None:
        """Send a runtime no more frames until it is undrained; `NotFoundError` if it isn't registered."""
        ...

    def undrain_runtime(self, runtime_id: str) -> None:
        """Let a drained runtime have frames again; `NotFoundError` if it isn't registered."""
        ...

    def runtimes(self) -> Sequence[RuntimeStatus]:
        """Every registered runtime."""
        ...

    def models(self) -> Sequence[ModelStatus]:
        """Every model that a registered runtime has."""
        ...

    async def load_model(self, name: str) -> None:
        """Load a model on every runtime that has it; `NotFoundError`, `InferenceError`."""
        ...

    async def unload_model(self, name: str) -> None:
        """Unload a model everywhere; `NotFoundError`, `InferenceError`."""
        ...

    async def infer(self, model: str, frame: Frame) -> InferenceResult:
        """Have a model look at one picture, beside the cameras' frames; `NotFoundError`, `InferenceError`."""
        ...

    def check_camera(self, settings: CameraSettings) -> None:
        """Refuse settings that no source can be made of: `InvalidInputError`."""
        ...

    async def apply_camera(self, camera: Camera, rules: Sequence[Rule]) -> None:
        """Start a camera, or bring a running one in line with changed settings and rules."""
        ...

    async def remove_camera(self, camera_id: str) -> None:
        """Stop a camera and end its open episodes."""
        ...

    async def push(self, camera_id: str, still: Still) -> bool:
        """Hand a picture to a `push:` camera.

        Returns:
            Whether it is looked at; False where it comes too soon for the camera's rate.

        Raises:
            ConflictError: The camera isn't running, or takes its pictures from its URL.
            InvalidInputError: The picture can't be decoded.
            SourceUnavailableError: The camera is just being opened, stopped, or takes no picture in time.
        """
        ...

    def camera_status(self, camera_id: str) -> CameraStatus:
        """How a camera is doing; a camera that isn't running is `disabled`."""
        ...

    def fault(self) -> str:
        """Why the pipeline can't take frames (spool not durable, a stage crashed); empty while it can."""
        ...
