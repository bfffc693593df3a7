"""The engine's public surface: light names only. Importing it loads no codec and no network; `start` runs a child."""

import os

# Before anything can import it: onnxruntime tells its maker that it is used, unless this is set.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from apps.engine.child import Limits, Run, probe, start
from apps.engine.errors import (
    BadOptions,
    Canceled,
    EngineError,
    EngineFault,
    InputRefused,
    InputTruncated,
    LimitExceeded,
    ModelNotInstalled,
    OutOfMemory,
    Unsupported,
    VerificationFailed,
)
from apps.engine.formats import FORMATS, Format
from apps.engine.options import MODELS, Background, Options
from apps.engine.report import Facts, Notice, OutputFile, Progress, Result

__all__ = [
    "FORMATS",
    "MODELS",
    "Background",
    "BadOptions",
    "Canceled",
    "EngineError",
    "EngineFault",
    "Facts",
    "Format",
    "InputRefused",
    "InputTruncated",
    "LimitExceeded",
    "Limits",
    "ModelNotInstalled",
    "Notice",
    "Options",
    "OutOfMemory",
    "OutputFile",
    "Progress",
    "Result",
    "Run",
    "Unsupported",
    "VerificationFailed",
    "probe",
    "start",
]
