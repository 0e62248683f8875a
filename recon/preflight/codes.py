"""The codes of all checks. They never change their meaning: people write them into configurations and scripts."""

from __future__ import annotations

CODES = {
    # The session as a whole.
    "storage": "files that are missing, empty, cut off or unreadable, or a description that cannot be read",
    "calibration": "a calibration that cannot be: a number that is none, a singular K",
    "cameras": "how many cameras there are: one cannot place anything",
    "frames": "how many frames were recorded",
    "keypoints": "whether the landmark networks could look at the pictures",
    # Time.
    "missing-frames": "the largest share of frames that a camera missed",
    "times-missing": "frames whose times are missing or do not rise, so that their rate is assumed",
    "timestamps": "times of a camera that do not rise",
    "time-gaps": "intervals between a camera's frames that are far longer than usual, by its time stamps",
    "synchrony": "how far apart cameras recorded one frame, in frame intervals",
    "time-offset": "how many frames a camera's motion is late against the others'",
    "frozen-frames": "frames of a camera that show the picture of the frame before while others move on",
    "frame-order": "frames of a camera that belong elsewhere in its sequence",
    # Cameras as they are described.
    "focal": "horizontal field of view",
    "pixel-aspect": "ratio of the two focal lengths",
    "principal-point": "distance of the principal point from the image's middle, in image widths",
    "rotation": "how far a camera's rotation is from rigid",
    "lens": "whether the lens model can be inverted over the whole image",
    "camera-distance": "largest distance between two cameras",
    "camera-apart": "smallest distance between two cameras",
    "up-axis": "angle between +Y and what the cameras' horizons say of up, upright or on their side",
    "camera-height": "height of the lowest camera over the floor",
    "image-size": "images that are not of their camera's size, or were not when it was calibrated",
    # Cameras against what they see.
    "reprojection": "how far the body in a camera's picture is from where the other cameras put it",
    "epipolar": "the pair of cameras whose views of the body meet worst",
    "pose-convention": "whether poses of another convention (camera to world, transposed, OpenGL axes) fit better",
    "camera-order": "cameras that fit better with each other's calibration",
    "image-turned": "cameras whose pictures fit better when turned by quarters",
    "image-mirrored": "cameras whose pictures fit better in a mirror",
    "image-scale": "cameras whose pictures fit better at another scale: resized or cropped without K",
    "lens-match": "cameras whose pictures fit better with another lens: distortion left in or taken out twice",
    "camera-pose": "cameras that fit better when turned by a few degrees, or moved",
    "joint-error": "how far off joints are to be expected by where the cameras and the person stand",
    "shared-view": "share of what is seen of the body that two cameras see, or one with depth",
    "person-upright": "angle between the person's up and +Y",
    # The person.
    "person-visible": "share of the image that the person takes",
    "person-moments": "share of the frames that were looked at in which the person is seen by enough cameras",
    "person-in-frame": "share of the image's border that the person touches",
    "stature": "height of the person",
    # Light.
    "exposure": "mean brightness of the person, or of the image without one",
    "clipping": "share of the person that is pure white or pure black",
    "contrast-match": "how much flatter or harder a camera's picture of the person is than the others'",
    "brightness-match": "how much brighter or darker a camera's picture of the person is than the others'",
    "color-match": "how far the person's color in a camera is from the others'",
    "channel-order": "cameras whose red and blue are exchanged",
    "blur": "fine detail of the person's picture, against the others'",
    "noise": "noise of the picture",
    # Masks.
    "mask-agreement": "share of a camera's points of the person inside the other cameras' masks, and theirs in its",
    "mask-keypoints": "share of the body's landmarks inside the mask",
    "mask-hull": "share of a mask that the other cameras' masks leave room for",
    # Depth.
    "depth-agreement": "median difference of two cameras' depths at one point",
    "depth-overlap": "share of a camera's points that its neighbours confirm",
    "depth-pose": "how far a camera's surface of the person must be moved to lie on the others'",
    "depth-focal": "how much a camera's surface must be stretched across its axis to lie on the others'",
    "depth-holes": "share of the person without depth",
    "depth-scale": "depth of the body's landmarks over what the cameras' geometry says",
    "depth-registration": "shift of the depth's outline against the mask's",
    "depth-frame": "share of the person's outline that its depth fills: depth of another frame or camera",
}
