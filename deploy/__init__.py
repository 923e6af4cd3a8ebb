"""How the orchestrator is run: rules, dashboards, manifests, and what writes those that are generated."""
