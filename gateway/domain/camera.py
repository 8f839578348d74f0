"""A camera as it is configured, and the state its source is in."""

import datetime as dt
from enum import StrEnum
from typing import Annotated

import msgspec

from gateway.domain.definitions import Polygon

ClipSeconds = Annotated[float, msgspec.Meta(ge=0, le=60)]


class CameraState(StrEnum):
    """What a camera's source is doing. `elsewhere`: another replica knows."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"
    RETRYING = "retrying"
    REFUSED = "refused"
    ENDED = "ended"
    DISABLED = "disabled"
    ELSEWHERE = "elsewhere"


class CameraSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a user says of a camera.

    Attributes:
        name: For people.
        url: A camera URL, see `gateway.sources`.
        model: The model its frames go to.
        fps: Frames per second wanted; what is granted depends on the runtimes.
        priority: Its part where frames are short, in proportion to the others' priorities.
        clip_before_s: A violation's clip begins so many seconds before it; with `clip_after_s` 0, too, there is none.
        clip_after_s: And goes on for so many after it was detected.
        masks: Parts of the picture, in fractions of it, that are black in all that is stored; rules see them.
        enabled: False keeps the camera on record without opening it.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
    model: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_]{1,64}$")]
    fps: Annotated[float, msgspec.Meta(gt=0, le=120)] = 5.0
    priority: Annotated[int, msgspec.Meta(ge=1, le=10)] = 5
    clip_before_s: ClipSeconds = 5.0
    clip_after_s: ClipSeconds = 5.0
    masks: Annotated[tuple[Polygon, ...], msgspec.Meta(max_length=50)] = ()
    enabled: bool = True


class Camera(msgspec.Struct, frozen=True, kw_only=True):
    """A camera on record."""

    id: str
    settings: CameraSettings
    created_at: dt.datetime
    updated_at: dt.datetime


class CameraStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a camera is doing now.

    Attributes:
        state: What its source is doing.
        reason: Why, in words for a person; empty while live.
        wanted_fps: What the camera asks for.
        granted_fps: What its runtime can give it; 0 while no runtime takes it.
        runtime_id: The runtime that its frames go to; None while there is none.
        achieved_fps: Frames inferred per second over the last seconds.
        frames_waiting: Frames that wait to be sent now: 0 or 1.
        frames_inferred: Frames inferred since the camera was started.
        frames_dropped: Frames dropped since then, by cause.
        blind_seconds: Seconds since then in which frames were due and none was judged, by reason.
        rules_blind_seconds: The same by id of a rule: only while that is enabled and its schedule holds.
        last_frame_at: Frame time of the newest frame inferred.
        owner: Name of the replica that has the camera; empty while none has.
    """

    state: CameraState
    reason: str = ""
    wanted_fps: float = 0.0
    granted_fps: float = 0.0
    runtime_id: str | None = None
    achieved_fps: float = 0.0
    frames_waiting: int = 0
    frames_inferred: int = 0
    frames_dropped: dict[str, int] = {}
    blind_seconds: dict[str, float] = {}
    rules_blind_seconds: dict[str, dict[str, float]] = {}
    last_frame_at: dt.datetime | None = None
    owner: str = ""
