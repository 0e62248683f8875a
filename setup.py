"""Lists the packages, which pyproject.toml cannot: the folders of the repository are installed under `simulacra`."""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

FOLDERS = (
    "render",
    "recon",
    "tools",
    "configs",
    "assets",
)  # simulacra.render and so on: no bare names are claimed

found = find_packages(include=[pattern for name in FOLDERS for pattern in (name, f"{name}.*")])


class BuildWithMark(build_py):
    """A file of its own in the folder of all packages: pip removes no folder without one, and would leave it empty."""

    def run(self) -> None:
        """Writes it where packages are copied; those of an editable installation lie where they are."""
        super().run()
        if not self.editable_mode:
            self._mark.parent.mkdir(parents=True, exist_ok=True)
            self._mark.write_text(
                "The packages render, recon, tools, configs and assets of simulacra.\n", "utf-8"
            )

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """All files, this one too."""
        return [*super().get_outputs(include_bytecode), *([] if self.editable_mode else [str(self._mark)])]

    @property
    def _mark(self) -> Path:
        return Path(self.build_lib, "simulacra", "README.txt")


setup(
    cmdclass={"build_py": BuildWithMark},
    packages=[f"simulacra.{package}" for package in found],
    package_dir={f"simulacra.{name}": name for name in FOLDERS},
)
