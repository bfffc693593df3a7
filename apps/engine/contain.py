"""The walls a child builds around itself before it opens a stranger's file. Imports nothing that starts threads."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import resource
import signal
import socket
import sys

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38

SECCOMP_MODE_FILTER = 2
SECCOMP_ALLOW = 0x7FFF0000
SECCOMP_REFUSE = 0x00050000 | errno.EACCES
SYSCALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""By machine: how the kernel names its kind of system calls, and the number of `socket` there."""
IO_URING = (425, 426, 427)
"""They open sockets too, past any look at `socket`; the same numbers on every machine."""
X32_CALLS = 0x40000000
"""From here on the x86-64 kernel takes a second set of numbers for the same calls."""
LOAD, EQUALS, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06

MAX_FILE_BYTES = 64 * 1024**3
"""Of one written file: ten minutes of ProRes 4444 at 4096 × 4096 stay below."""

MAX_CPU_SECONDS = 30 * 24 * 3600
"""A runaway stop; the house's own deadline, which knows the video's length, comes long before it."""

PROBE_CPU_SECONDS = 120
"""Looking is given up long before by the clock; this holds when nobody is left to do that."""

PROBE_ADDRESS_SPACE = 4 * 1024**3
"""Looking decodes one frame, of 36 million pixels at most."""

MIN_ADDRESS_SPACE = 8 * 1024**3
"""Address space is not memory: thread stacks and allocator arenas reserve far more than they use."""

NICENESS = 10
SESSION_NICENESS = 5
"""Less, because a whole session stands against each other session: at 10 the work all but stops beside a busy one."""

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
        has_left, has_no_sockets = _leave_the_network(), _give_up_sockets(on_cpu=on_cpu)
        if not has_left and not has_no_sockets:
            missing.append("network")
        if not has_no_sockets:
            missing.append("sockets")
        if not _die_with(parent):
            missing.append("parent_death")
        try:
            _write("/proc/self/oom_score_adj", OOM_SCORE)
        except OSError:
            missing.append("oom_score")
    missing += _limit_resources(on_cpu=on_cpu, only_looks=only_looks)
    if not only_looks:
        _step_back()
    return missing


def _step_back() -> None:
    """A film is cut in whatever time pages and API leave over on the same cores; somebody waits for a look."""
    os.nice(NICENESS)
    # Where the kernel groups processes by session, it weighs the groups and not what is in them.
    with contextlib.suppress(OSError):
        _write("/proc/self/autogroup", str(SESSION_NICENESS))


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


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("first", ctypes.POINTER(_Instruction)))


def _give_up_sockets(*, on_cpu: bool) -> bool:
    """Have the kernel refuse every new socket, from here on and in whatever we start.

    Containers mostly forbid the namespaces above and allow this. It also keeps
    us from local services, such as the queue, that no namespace hides. CUDA
    talks to its driver's helpers through local sockets, so those stay there.
    """
    if platform.machine() not in SYSCALLS or sys.byteorder != "little":
        return False
    kind, socket_call = SYSCALLS[platform.machine()]
    families = () if on_cpu else (int(socket.AF_UNIX), int(getattr(socket, "AF_NETLINK", socket.AF_UNIX)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    rows = _filter(kind, socket_call, families)
    program = _Program(len(rows), (_Instruction * len(rows))(*(_Instruction(*row) for row in rows)))
    return bool(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _filter(kind: int, socket_call: int, families: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """A program for the kernel; a jump's numbers are rows to skip, counted from the next one.

    Another kind of call than this machine's own is refused whole: its numbers mean other things.
    """
    rows = [(LOAD, 0, 0, 4), (EQUALS, 1, 0, kind), (RETURN, 0, 0, SECCOMP_REFUSE), (LOAD, 0, 0, 0)]
    for number in IO_URING:
        rows += [(EQUALS, 0, 1, number), (RETURN, 0, 0, SECCOMP_REFUSE)]
    rows += [(AT_LEAST, 0, 1, X32_CALLS), (RETURN, 0, 0, SECCOMP_REFUSE)]
    rows += [(EQUALS, 1, 0, socket_call), (RETURN, 0, 0, SECCOMP_ALLOW), (LOAD, 0, 0, 16)]
    for family in families:
        rows += [(EQUALS, 0, 1, family), (RETURN, 0, 0, SECCOMP_ALLOW)]
    return [*rows, (RETURN, 0, 0, SECCOMP_REFUSE)]


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
