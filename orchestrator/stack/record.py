"""What is remembered of a stack in its folder: its ports, for good, and the processes that run now."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.stack.home import RECORD_FILE
from orchestrator.stack.ports import Ports, free_port, free_ports
from orchestrator.stack.processes import ProcessRecord


@dataclass(frozen=True, slots=True)
class StackRecord:
    """The ports are chosen once, so that clients find a stack again after it was stopped."""

    ports: Ports
    processes: Mapping[str, ProcessRecord] = field(default_factory=dict)


def read_record(data_dir: Path) -> StackRecord | None:
    """The record in the folder; nothing where no stack was ever started."""
    path = data_dir / RECORD_FILE
    try:
        content = json.loads(path.read_text())
        processes = {name: ProcessRecord(**entry) for name, entry in content["processes"].items()}
        return StackRecord(ports=Ports(**content["ports"]), processes=processes)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise EnvironmentProblem(
            f"{path} is damaged: {error}", hint=f"stop what may run of this stack and delete {data_dir}"
        ) from error


def open_record(data_dir: Path, *, connect: bool = False) -> StackRecord:
    """The record in the folder, or a new one with free ports, which is kept at once; with a port for Kafka Connect when
    it is asked for.
    """
    record = read_record(data_dir)
    if record is None:
        record = StackRecord(ports=free_ports())
        write_record(data_dir, record)
    if connect and not record.ports.connect:
        record = replace(record, ports=replace(record.ports, connect=free_port()))
        write_record(data_dir, record)
    return record


def write_record(data_dir: Path, record: StackRecord) -> None:
    """The record is in the folder, whole, whatever happens meanwhile."""
    data_dir.mkdir(parents=True, exist_ok=True)
    # Everything here is made by a program; no version control should see it.
    (data_dir / ".gitignore").write_text("*\n")
    staging = data_dir / f"{RECORD_FILE}.new"
    staging.write_text(json.dumps(asdict(record), indent=2) + "\n")
    staging.replace(data_dir / RECORD_FILE)


def note_process(data_dir: Path, name: str, process: ProcessRecord | None) -> None:
    """The record names the process, or no longer names one, under `name`."""
    record = open_record(data_dir)
    others = {other: entry for other, entry in record.processes.items() if other != name}
    processes = others if process is None else {**others, name: process}
    write_record(data_dir, replace(record, processes=processes))


@contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """A context in which no other process starts or stops this stack; waits for one that does."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
