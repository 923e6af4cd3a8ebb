"""``python leash.py OWNER GRACE_S COMMAND...``: becomes COMMAND, and stops it when the process OWNER is gone.

The command replaces this process, so its process id is the one the owner got. What watches is a child made before that,
so there is no moment without a watch. It runs in its own session, where a Ctrl-C at the owner's terminal does not
reach it. Only the standard library is imported: this runs once for each service.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

POLL_S = 0.2


def main(owner: int, grace_s: float, command: list[str]) -> None:
    """Never returns: the process turns into the command."""
    if os.getppid() != owner:
        # The owner went before the watch began.
        sys.exit(1)
    command_pid = os.getpid()
    if os.fork() == 0:
        _watch(owner, command_pid, grace_s)
        os._exit(0)
    os.execv(command[0], command)  # noqa: S606


def _watch(owner: int, command_pid: int, grace_s: float) -> None:
    owner_fd, command_fd = _handle(owner), _handle(command_pid)
    while _is_alive(owner, owner_fd) and _is_alive(command_pid, command_fd):
        _pause(owner_fd, command_fd)
    if _is_alive(command_pid, command_fd):
        os.kill(command_pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while _is_alive(command_pid, command_fd):
        if time.monotonic() > deadline:
            os.kill(command_pid, signal.SIGKILL)
            return
        _pause(command_fd)


def _handle(pid: int) -> int | None:
    """A descriptor that turns readable when the process ends, where the system has such descriptors."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _is_alive(pid: int, handle: int | None) -> bool:
    if handle is not None:
        return not select.select([handle], [], [], 0)[0]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _pause(*handles: int | None) -> None:
    select.select([handle for handle in handles if handle is not None], [], [], POLL_S)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
