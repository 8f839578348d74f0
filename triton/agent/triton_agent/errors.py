"""What can go wrong, as one tree; the command line turns each into a message and an exit status.

AgentError                status 1: can't be used as it is
├── PortTakenError        a port is held by another process
├── ServerFailedError     tritonserver ended, with its own reason
├── UsageError            status 2: an option or a variable makes no sense
├── MissingError          status 3: something needed is not on this machine
└── UnreachableError      an HTTP peer did not answer (never ends the agent)
"""


class AgentError(Exception):
    """Base of everything this package raises on purpose; its text is for the person at the terminal."""

    exit_status = 1


class PortTakenError(AgentError):
    """A port that tritonserver needs is in use."""


class ServerFailedError(AgentError):
    """tritonserver could not start, or ended by itself; the text carries its own words."""


class UsageError(AgentError):
    """An option or an environment variable has a value that makes no sense."""

    exit_status = 2


class MissingError(AgentError):
    """A program, library or device that is needed is not there; the text names it and says how to get it."""

    exit_status = 3


class UnreachableError(AgentError):
    """An HTTP peer could not be reached, or broke off."""
