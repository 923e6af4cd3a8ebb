"""Pages that are written from the code say what the code says."""

from __future__ import annotations

import re

import pytest

from deploy.documents import PAGES, ROOT
from tests.deploy.exported import exercised_ingest, exercised_metrics, families, samples, sink_samples


@pytest.mark.parametrize("name", PAGES)
def test_a_written_page_is_what_the_code_says(name: str) -> None:
    assert (ROOT / name).read_text() == PAGES[name](), "run: python -m deploy.documents"


def test_every_metric_that_is_exported_is_on_its_page_with_its_labels() -> None:
    rows = dict(
        re.findall(
            r"^\| `(orchestrator_\w+)` \| \w+ \| ([^|]*) \|", PAGES["docs/operations/metrics.md"](), flags=re.MULTILINE
        )
    )
    exported = samples(exercised_metrics()) | samples(exercised_ingest()) | sink_samples()
    for sample, labels in exported.items():
        if sample.startswith("orchestrator_"):
            name = sample if sample in rows else re.sub(r"_(bucket|sum|count)$", "", sample)
            assert set(re.findall(r"`(\w+)`", rows[name])) == labels - {"le"}, sample


def test_everything_has_happened_to_the_worker_that_tests_look_at() -> None:
    metrics = exercised_metrics()
    seen = {family.name for family in metrics.registry.collect() if family.samples}
    assert families(metrics) - seen == set(), "let it happen in tests/deploy/exported.py"


def test_links_of_the_operations_pages_lead_somewhere() -> None:
    for page in (ROOT / "docs" / "operations").rglob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
