"""The walls a child builds around itself before it opens a stranger's file. Imports nothing that starts threads."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38

MAX_FILE_BYTES = 64 * 1024**3
"""Of one written file: ten minutes of ProRes 4444 at 4096 × 4096 stay below."""

MAX_CPU_SECONDS = 48 * 3600
"""A runaway stop; the house's own deadline comes long before it."""

PROBE_CPU_SECONDS = 120
"""Looking is given up long before by the clock; this holds when nobody is left to do that."""

PROBE_ADDRESS_SPACE = 4 * 1024**3
"""Looking decodes one frame, of 36 million pixels at most."""

MIN_ADDRESS_SPACE = 8 * 1024**3
"""Address space is not memory: thread stacks and allocator arenas reserve far more than they use."""

OOM_SCORE = "800"
"""If memory runs out, the kernel should take the engine and not the database."""


def contain(*, parent: int | None, on_cpu: bool, only_looks: bool = False) -> list[str]:
    """Put up every wall this machine allows; returns the names of those it does not.

    They stand closer around a child that `only_looks`.

    Must run while the process has one thread: the kernel gives a new user
    namespace to nobody else. The order matters too: entering a namespace
    changes credentials, and that clears the death signal.
    """
    missing = []
    with contextlib.suppress(OSError):
        os.setsid()
    if not sys.platform.startswith("linux"):
        missing += ["network", "parent_death"]
    else:
        if not _leave_the_network():
            missing.append("network")
        if not _die_with(parent):
            missing.append("parent_death")
        try:
            _write("/proc/self/oom_score_adj", OOM_SCORE)
        except OSError:
            missing.append("oom_score")
    missing += _limit_resources(on_cpu=on_cpu, only_looks=only_looks)
    return missing


def _leave_the_network() -> bool:
    """A network namespace without any interface; through a user namespace where we are not root."""
    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    # Root keeps to its own user namespace: in a new one it could no longer read other users' files.
    if libc.unshare(CLONE_NEWNET) == 0:
        return True
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0:
        # Unmapped we would be "nobody" in our own eyes; files are reached as before either way.
        with contextlib.suppress(OSError):
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"{uid} {uid} 1")
            _write("/proc/self/gid_map", f"{gid} {gid} 1")
        return True
    return False


def _die_with(parent: int | None) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    done = libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0
    # The parent may have died before the line above; nobody would ever signal us.
    if parent is not None and os.getppid() != parent:
        os._exit(130)
    return bool(done)


def _limit_resources(*, on_cpu: bool, only_looks: bool) -> list[str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = {
        "core": (resource.RLIMIT_CORE, 0),
        "file_size": (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        "cpu_time": (resource.RLIMIT_CPU, PROBE_CPU_SECONDS if only_looks else MAX_CPU_SECONDS),
    }
    if only_looks:
        limits["address_space"] = (resource.RLIMIT_AS, PROBE_ADDRESS_SPACE)
    elif on_cpu:  # A CUDA context maps the whole card's memory and more.
        limits["address_space"] = (resource.RLIMIT_AS, max(MIN_ADDRESS_SPACE, memory))
    missing = []
    for name, (which, value) in limits.items():
        try:
            hard = resource.getrlimit(which)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(which, (value, value))
        except (OSError, ValueError):
            missing.append(name)
    return missing


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
