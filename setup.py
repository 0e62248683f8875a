"""Lists the packages, which pyproject.toml cannot: the folders of the repository are installed under `simulacra`."""

from setuptools import find_packages, setup

FOLDERS = (
    "render",
    "recon",
    "tools",
    "configs",
    "assets",
)  # simulacra.render and so on: no bare names are claimed

found = find_packages(include=[pattern for name in FOLDERS for pattern in (name, f"{name}.*")])

setup(
    packages=[f"simulacra.{package}" for package in found],
    package_dir={f"simulacra.{name}": name for name in FOLDERS},
)
