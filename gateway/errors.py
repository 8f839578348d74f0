"""Every error the gateway raises on purpose.

    RuthError
    ├── ConfigurationError          a setting is missing or contradicts another
    ├── InvalidInputError           what a caller sent can't be used; the message says what would do
    ├── NotFoundError               no such camera, rule, violation, model, runtime
    ├── ConflictError               it exists already, or is in use
    ├── AuthenticationError         no or a wrong credential
    ├── SourceError                 a camera or file can't deliver frames
    │   ├── SourceUnavailableError  can't be opened or reached now; trying again may help
    │   │   └── SourceStalledError  it was live, and nothing has come for too long
    │   ├── SourceRefusedError      wrong credential, no video: helps only when somebody changes something
    │   └── SourceFormatError       not a picture stream; trying again won't help
    ├── InferenceError              a frame did not come back as detections
    │   ├── RuntimeUnavailableError the server is away or still starting
    │   ├── RuntimeBusyError        no turn for a direct call beside the cameras' frames
    │   ├── InferenceTimeoutError   no answer before the frame's deadline
    │   ├── InferenceRejectedError  the server refused this request
    │   └── ModelContractError      the model can be called, but not scheduled
    ├── DeliveryError               a receiver did not take an event
    │   └── DeliveryRefusedError    it refuses this event; trying again rarely helps
    ├── FanOutError                 Redis is away; each replica's listeners hear of its own events alone
    └── StoreError                  a record can't be kept or read
        ├── SpoolError              not durable: detection must stop until this is mended
        │   └── SpoolInUseError     another process has it
        ├── DatabaseError           the database is away or refuses
        └── EvidenceAlteredError    a file isn't what was recorded

Foreign exceptions are mapped to these in the adapters (`sources`, `inference`, `store`, `events`, `delivery`),
with `raise … from`.
"""


class RuthError(Exception):
    """Base of the gateway's own errors; its text is fit for a user's eyes and holds no secret."""


class ConfigurationError(RuthError):
    """A setting is missing, can't be parsed, or contradicts another."""


class InvalidInputError(RuthError):
    """What a caller sent can't be used; the message says what would do."""


class NotFoundError(RuthError):
    """The named camera, rule, violation, model or runtime doesn't exist."""


class ConflictError(RuthError):
    """The thing exists already, or is in use."""


class AuthenticationError(RuthError):
    """The caller showed no credential, or a wrong one."""


class SourceError(RuthError):
    """A camera or file can't deliver frames."""


class SourceUnavailableError(SourceError):
    """The source can't be opened or reached now; trying again may help."""


class SourceStalledError(SourceUnavailableError):
    """The source was live, and nothing has come for too long."""


class SourceRefusedError(SourceError):
    """The source refuses us or offers no pictures; trying again helps only when somebody has changed something."""


class SourceFormatError(SourceError):
    """What the source holds is no picture stream; trying again won't help."""


class InferenceError(RuthError):
    """A frame did not come back as detections."""


class RuntimeUnavailableError(InferenceError):
    """The inference server is away or still starting."""


class RuntimeBusyError(InferenceError):
    """No turn came for a direct call beside the cameras' frames; trying again may help."""


class InferenceTimeoutError(InferenceError):
    """No answer came before the frame's deadline."""


class InferenceRejectedError(InferenceError):
    """The server answered, and refused this request."""


class ModelContractError(InferenceError):
    """The model doesn't declare the contract that scheduling needs."""


class DeliveryError(RuthError):
    """A receiver can't be reached, didn't take an event in time, or is at a place that isn't allowed."""


class DeliveryRefusedError(DeliveryError):
    """The receiver refuses this event; trying again rarely helps."""


class FanOutError(RuthError):
    """Redis can't be reached."""


class StoreError(RuthError):
    """A record can't be kept or read."""


class SpoolError(StoreError):
    """The spool can't be made durable: detection must stop until this is mended."""


class SpoolInUseError(SpoolError):
    """Another process, a running gateway say, has the spool."""


class DatabaseError(StoreError):
    """The database is away, full, or refuses."""


class EvidenceAlteredError(StoreError):
    """A file of evidence isn't what was recorded: its hash differs, and the file that was is gone."""
