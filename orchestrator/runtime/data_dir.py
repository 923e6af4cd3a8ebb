"""A worker's data directory is one process's alone.

Two workers with one directory have one name towards the broker, so that the second would end the first, and their
supervisors would go on like that for ever.
"""

from __future__ import annotations

import fcntl
import logging
from pathlib import Path
from typing import IO

from orchestrator.model.problems import EnvironmentProblem

log = logging.getLogger(__name__)

LOCK_FILE = "lock"


def claim_data_dir(data_dir: Path) -> IO[str]:
    """Makes the directory, and takes it for as long as the file that is given stays open; the system gives it back when
    the process ends, however it ends.

    Raises: EnvironmentProblem if another process has it, or it cannot be written.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = (data_dir / LOCK_FILE).open("a", encoding="ascii")
    except OSError as error:
        raise unusable(data_dir, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise EnvironmentProblem(
            f"another worker runs with the data directory {data_dir}",
            hint="give each worker a directory of its own with --data-dir",
        ) from None
    except OSError as error:
        # Some file systems of networks have no locks.
        log.warning("the data directory cannot be locked, see that no other worker uses it: %s", error.strerror)
    return lock


def unusable(data_dir: Path, error: Exception) -> EnvironmentProblem:
    """The problem of a directory in which nothing can be read or written."""
    reason = (isinstance(error, OSError) and error.strerror) or type(error).__name__
    return EnvironmentProblem(
        f"the data directory {data_dir} cannot be used: {reason}",
        hint="choose a directory that this user may write with --data-dir",
    )
