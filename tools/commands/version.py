"""`simulacra version`: what to name when numbers are compared."""

from __future__ import annotations


def version() -> None:
    """Print the versions of simulacra and of the libraries that its numbers depend on."""
    from simulacra.recon.runs.run_facts import library_versions

    for name, number in library_versions().items():
        print(f"{name} {number}")


def version_line() -> None:
    """Print the version in a line, as `--version` does elsewhere."""
    from importlib import metadata

    print(f"simulacra {metadata.version('simulacra')}")
