"""`simulacra import LAYOUT`: the importers of `recon.importers`, whose options are the options of the command."""

from __future__ import annotations

import importlib
import inspect
import shlex
from collections.abc import Callable
from typing import Annotated, Any

from tyro.conf import arg

from simulacra.recon.importers import options, recorder_options
from simulacra.render.runtime.errors import InputError

from .arguments import Source, check_folder, options_of, say_session
from .found_layout import other_layout
from .outputs import NewSession

SRC_AND_SESSION = """
Args:
    src: the capture: its folder, or its file.
    session: the session to make: a new or empty folder.
"""


def import_layout(layout: str, record: type) -> Callable[..., None]:
    """The command that imports a layout.

    Args:
        layout: of ``recon.importers.LAYOUT``, with hyphens.
        record: its options, whose docstring is the help.
    """

    def run(src: Source, session: NewSession, /, options: Any) -> None:
        name = layout.replace("-", "_")
        module = importlib.import_module(f"simulacra.recon.importers.{name}")
        check_folder(session, "a session")
        try:
            getattr(module, f"import_{name}")(src, session, options)
        except InputError as error:
            if (found := other_layout(src, layout)) is None:
                raise
            raise InputError(
                error.what, where=error.where, expected=error.expected, found=error.found, code=error.code,
                remedy=f"{found.src} is of the layout {found.sniffer.layout} ({found.reason}): "
                f"{shlex.join(['simulacra', 'import', str(found.src), str(session)])}",
            ) from error  # fmt: skip
        say_session(session)

    run.__doc__ = inspect.cleandoc(record.__doc__ or "").partition("Attributes:")[0] + SRC_AND_SESSION
    run.__annotations__["options"] = Annotated[options_of(record), arg(name="")]
    return run


OPTIONS: dict[str, type] = {
    "rgbd-rig": options.RgbdRigOptions,
    "qualisys": options.QualisysOptions,
    "caliscope": options.CaliscopeOptions,
    "truedepth": options.TruedepthOptions,
    "color-depth": options.ColorDepthOptions,
    "images": options.ImagesOptions,
    "videos": options.VideosOptions,
    "opencv-yaml": options.OpencvYamlOptions,
    "pose2sim": options.Pose2simOptions,
    "nerfstudio": options.NerfstudioOptions,
    "metashape": options.MetashapeOptions,
    "colmap": options.ColmapOptions,
    "panoptic": recorder_options.PanopticOptions,
    "zju-mocap": recorder_options.ZjuMocapOptions,
    "azure-kinect": recorder_options.AzureKinectOptions,
    "realsense": recorder_options.RealsenseOptions,
    "record3d": recorder_options.Record3dOptions,
    "stray-scanner": recorder_options.StrayScannerOptions,
    "opencap": recorder_options.OpencapOptions,
}
LAYOUTS = {layout: import_layout(layout, record) for layout, record in OPTIONS.items()}
