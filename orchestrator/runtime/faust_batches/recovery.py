"""What happens between an assignment and the first record: the worker's own restore instead of Faust's.

Faust reads the changelog record by record through its streams, cannot pass the end of a transaction, and swallows
what goes wrong. Its recovery service is kept as the clockwork: it starts over on every rebalance, and ends by
resuming the streams.
"""

# Overrides reach into private attributes and take arguments that they do not use; tests watch those attributes.
# ruff: noqa: SLF001

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from aiokafka.errors import IllegalStateError
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.types import TP

if TYPE_CHECKING:
    from orchestrator.runtime.faust_batches.app import BatchApp
    from orchestrator.runtime.faust_batches.transport import BatchConsumerThread


class BatchRecovery(Recovery):
    """Restores through the application's host, seeks to the offsets that it gives, and lets the records flow."""

    app: BatchApp

    async def _build_highwaters(self, *_: Any, **__: Any) -> None:
        """Nothing: with no highwaters Faust finds nothing to recover."""

    async def _build_offsets(self, *_: Any, **__: Any) -> None:
        """Nothing."""

    async def _seek_offsets(self, *_: Any, **__: Any) -> None:
        """Nothing: changelog partitions are not fetched through Faust."""

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Restores, seeks and resumes; called once for each assignment.

        A failure ends the process: Faust would log it and start on whatever state there is.
        """
        app = self.app
        await app.on_rebalance_complete.send()
        self._set_recovery_ended()
        # `_wait` gives up when the next rebalance begins; the host ends the restore before it lets the member rejoin.
        await self._wait(self._restore_and_seek(generation_id))
        # From here on nothing is awaited until the records flow, so no rebalance can come between.
        if not app.host.is_current(generation_id):
            return
        consumer = app.consumer
        consumer.resume_partitions({tp for tp in consumer.assignment() if not self._is_changelog_tp(tp)})
        self.completed.set()
        app.flow_control.resume()
        consumer.resume_flow()
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        app.on_rebalance_end()
        app.host.started()
        await app._fetcher.maybe_start()

    async def _restore_and_seek(self, generation_id: int) -> None:
        app = self.app
        partitions = frozenset(tp.partition for tp in self.active_tps)
        try:
            positions = await app.host.restore(partitions, generation_id)
            thread = cast("BatchConsumerThread", app.consumer._thread)  # type: ignore[attr-defined]
            await thread.seek_all({TP(*tp): offset for tp, offset in positions.items()})
            app.epoch += 1
        except IllegalStateError:
            # Not assigned any more: the next assignment is on its way and starts all this again.
            app.host.abandon()
        except Exception as error:  # noqa: BLE001
            app.host.fail(error)


class BatchTableManager(TableManager):
    """A table manager with the recovery above."""

    async def on_start(self) -> None:
        """As Faust does, without its second of waiting for tables that modules may still declare."""
        await self._update_channels()
        await self.recovery.start()

    @property
    def recovery(self) -> Recovery:
        """The recovery service, made on first use as Faust does."""
        if self._recovery is None:
            self._recovery = BatchRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
