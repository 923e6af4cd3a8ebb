"""What must hold for every case, counted again from commands, transitions and the log, without the engine's code."""

from __future__ import annotations

from tests.properties.recount import (
    chance,
    consent,
    entries,
    messages,
    migrations,
    passages,
    past,
    pauses,
    plain,
    requests,
    shared,
)

CHECKS = (
    *messages.CHECKS,
    *consent.CHECKS,
    *passages.CHECKS,
    *entries.CHECKS,
    *requests.CHECKS,
    *chance.CHECKS,
    *shared.CHECKS,
    *past.CHECKS,
    *migrations.CHECKS,
    *pauses.CHECKS,
    *plain.CHECKS,
)
