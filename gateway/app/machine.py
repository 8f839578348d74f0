"""What is looked at before anything is opened: what would otherwise fail later, and less clearly."""

import logging
import os
import shutil
import socket
from pathlib import Path

from gateway.errors import ConfigurationError
from gateway.inference.shared_memory import remove_leftovers
from gateway.settings import Settings

_logger = logging.getLogger(__name__)

LEAST_FREE_BYTES = 100_000_000


def check_machine(settings: Settings) -> None:
    """Look at folders, disk and port, and clear away what a killed gateway has left.

    Raises:
        ConfigurationError: The gateway can't run so; the message says why and what would do.
    """
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"the data folder {settings.data_dir} can't be made: {error.strerror}") from error
    _check_space(settings.data_dir)
    if settings.model_socket_dir is not None:
        _check_socket_folder(settings.model_socket_dir)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise ConfigurationError(
                f"port {settings.port} on {settings.host} can't be taken ({error.strerror}); "
                "end what holds it, or choose another with --port or RUTH_AI_PORT"
            ) from error
    for name in remove_leftovers():
        _logger.info("shared memory of a killed gateway removed", extra={"region": name})


def _check_socket_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"the folder of model sockets {folder} can't be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(f"the folder of model sockets {folder} can't be written to")


def _check_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise ConfigurationError(
            f"{folder} has {free // 1_000_000} MB free; the gateway needs {LEAST_FREE_BYTES // 1_000_000} MB to be safe"
        )
