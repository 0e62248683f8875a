"""What the user, a file or a machine got wrong: a few named exceptions that say what to do about it.

Every failure that a person can mend raises one of these. The command line prints its lines and exits 2;
anything else that escapes is a bug of ours and keeps its traceback.
"""

from __future__ import annotations


class UserError(Exception):
    """Something that a person can mend.

    Args:
        what: one sentence, what is wrong.
        where: the file, key, camera or frame that it is about.
        expected: what was wanted there.
        found: what was there instead.
        remedy: what to do now.
        code: the check of the preflight that this is a case of; the class's own if not given.

    Attributes:
        code: a stable word for programs: the same in a refused import and in a preflight.
    """

    code = "other"

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        found: object = None,
        remedy: str | None = None,
        code: str | None = None,
    ) -> None:
        self.what = what
        self.code = code or type(self).code
        self.where = where
        self.expected = expected
        self.found = found
        self.remedy = remedy
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """The message as the command line prints it, one fact a line."""
        facts = [
            ("where", self.where),
            ("expected", self.expected),
            ("found", self.found),
            ("do", self.remedy),
        ]
        return [self.what] + [f"  {label}: {fact}" for label, fact in facts if fact is not None]


class InputError(UserError):
    """A file or folder is missing, unreadable, truncated or of another format."""

    code = "storage"


class CalibrationError(InputError):
    """A calibration cannot be right: another image size, a singular K, a mirrored rotation."""

    code = "calibration"


class CaptureError(UserError):
    """The files are sound but the capture cannot be used: nobody in view, too few cameras or frames."""


class ConfigError(UserError):
    """A configuration file or an override has an unknown key or a wrong value."""


class AssetError(UserError):
    """An outside file that the project needs is absent or not the one that the manifest names."""


class MissingExtraError(UserError, ImportError):
    """An optional package is asked for and not installed; `remedy` names the extra."""


class RunError(UserError):
    """The output folder cannot be used: it holds another run, or the disk is full."""
