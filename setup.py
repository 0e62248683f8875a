"""Lists the packages, which pyproject.toml cannot: two are found, three are mapped under `simulacra`."""

from setuptools import find_packages, setup

MAPPED = ("tools", "configs", "assets")  # application folders, installed as simulacra.tools and so on

own = find_packages(include=["render", "render.*", "recon", "recon.*"])
mapped = find_packages(include=[pattern for name in MAPPED for pattern in (name, f"{name}.*")])

setup(
    packages=own + [f"simulacra.{package}" for package in mapped],
    package_dir={f"simulacra.{name}": name for name in MAPPED},
)
