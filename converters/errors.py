"""What can go wrong, and the exit status each kind ends with.

ConvertError
├── ModelError      1  the model or the data can't be used
├── UsageError      2  the command line asks for something that makes no sense
└── MissingError    3  something needed is not on this machine
"""

from typing import ClassVar


class ConvertError(Exception):
    """A failure that is the user's to mend; its text says what was wrong and what would do."""

    exit_status: ClassVar[int] = 1


class ModelError(ConvertError):
    """The model or the data can't be used."""


class UsageError(ConvertError):
    """The command line asks for something that makes no sense."""

    exit_status: ClassVar[int] = 2


class MissingError(ConvertError):
    """Something needed is missing: a tool, a server, a file of this installation."""

    exit_status: ClassVar[int] = 3
