"""Every override of Faust, and nothing else.

Faust keeps the application, the agent, the assignor, group membership, the table's place and the lifecycle.
Overridden are delivery (record lists instead of records), acknowledgement and commits (none), and recovery (the
worker's own). What is overridden is private to Faust, so exactly the versions it was written for are accepted here,
and `tests/runtime/faust_batches` compares the sources behind it.
"""

from __future__ import annotations

from importlib.metadata import version

VERSIONS = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}

_others = {name: found for name, wanted in VERSIONS.items() if (found := version(name)) != wanted}
if _others:
    raise ImportError(
        f"faust_batches was written for {VERSIONS}, installed are {_others}: "
        "install the locked versions, or go through the overrides and their test"
    )

from orchestrator.runtime.faust_batches.app import BatchApp, Host, batch_app, customers_table  # noqa: E402
from orchestrator.runtime.faust_batches.transport import RecordBatch  # noqa: E402

__all__ = ["VERSIONS", "BatchApp", "Host", "RecordBatch", "batch_app", "customers_table"]
