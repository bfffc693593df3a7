"""Everything the engine can refuse or fail at, sorted by whose fault it is.

EngineError
├── BadOptions          the request     exit 2    invalid_request
│   └── Unsupported     the request     exit 2    unsupported_parameter
├── InputRefused        the file        exit 3    unsupported_media
├── LimitExceeded       the file        exit 4    limit_exceeded
├── ModelNotInstalled   the operator    exit 5    model_not_installed
│   └── InstallFailed       the operator    exit 5    model_not_installed
│       └── WrongChecksum   the operator    exit 5    model_not_installed
├── EngineFault         ours            exit 70   internal_error
│   ├── OutOfMemory     ours            exit 70   out_of_memory
│   │   └── Killed          nobody knows    –         out_of_memory
│   ├── NoRoom          the operator    exit 70   service_unavailable
│   ├── Starved         the operator    –         service_unavailable
│   └── VerificationFailed  ours        exit 70   verification_failed
└── Canceled            nobody's        exit 130  canceled
"""

from __future__ import annotations

import errno


class EngineError(Exception):
    """`code` is stable and public; `param` names the option at fault, if one is."""

    code = "internal_error"
    exit_code = 70

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class BadOptions(EngineError):
    code = "invalid_request"
    exit_code = 2


class Unsupported(BadOptions):
    code = "unsupported_parameter"


class InputRefused(EngineError):
    code = "unsupported_media"
    exit_code = 3


class InputTruncated(InputRefused):
    """Less than half of the video is there."""

    code = "input_truncated"


class LimitExceeded(EngineError):
    code = "limit_exceeded"
    exit_code = 4


class ModelNotInstalled(EngineError):
    code = "model_not_installed"
    exit_code = 5


class InstallFailed(ModelNotInstalled):
    """Weights could not be fetched or prepared; the message says what to do."""


class WrongChecksum(InstallFailed):
    """A file is not the one the manifest names; nothing of it was used."""


class EngineFault(EngineError):
    """Ours to fix; the message is for logs, users read "internal error"."""


class OutOfMemory(EngineFault):
    code = "out_of_memory"


class Killed(OutOfMemory):
    """The child was killed from outside. Mostly by the kernel, for memory; it cannot tell any more."""


class NoRoom(EngineFault):
    """A disk is full: nothing is wrong with the work, and elsewhere or later there is room for it."""

    code = "service_unavailable"


class Starved(EngineFault):
    """The machine had no time for the work, which says nothing about it."""

    code = "service_unavailable"


class VerificationFailed(EngineFault):
    code = "verification_failed"


class Canceled(EngineError):
    code = "canceled"
    exit_code = 130


def is_full_disk(error: BaseException) -> bool:
    """Whether an exception says that no room is left to write; FFmpeg's do too."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
