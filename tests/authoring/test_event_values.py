"""Values of events as services write them."""

from __future__ import annotations

import pytest

from orchestrator.authoring.event_values import BadValue, read_instant


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-02T09:00:00Z", 1_772_442_000_000),
        ("1960-05-01T00:00:00+02:00", -305_172_000_000),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ],
)
def test_an_instant_is_read_from_a_text(text: str, expected: int) -> None:
    assert read_instant(text, "occurred_at") == expected


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-23:59"])
def test_an_instant_that_its_zone_carries_out_of_the_years_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match="between the years 1 and 9999"):
        read_instant(text, "occurred_at")
