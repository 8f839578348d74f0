"""Models over Unix sockets, for programs that hand over frames in shared memory."""

from gateway.ipc.sockets import ModelSockets

__all__ = ["ModelSockets"]
