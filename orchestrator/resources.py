"""Where the shipped schemas, journeys and deployment files are, in a checkout and in an installed package."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def schemas_dir() -> Path:
    """The Avro schemas: `events/`, `actions/`, `records/`."""
    return _shipped("schemas")


def journeys_dir() -> Path:
    """The example journeys with their scenarios, templates, channels and policies."""
    return _shipped("journeys")


def deploy_dir() -> Path:
    """Files for operating the orchestrator elsewhere, such as dashboards."""
    return _shipped("deploy")


def demo_data_path() -> Path:
    """The clickstream of the demo, as gzipped CSV."""
    return PACKAGE / "demo" / "data" / "ecom.csv.gz"


def _shipped(name: str) -> Path:
    # The build puts the folders that stand beside the package in a checkout below it; see pyproject.toml.
    installed = PACKAGE / "_shipped" / name
    return installed if installed.exists() else PACKAGE.parent / name
