"""One file for every foreign layout. What is foreign about it, axes, units, half pixels, ends in that file.

`options` and `recorder_options` list what each can be told; `opencv_yaml` is a short one to start at. What they
share: `building` (a session whole or not at all), `finding` (which files are whose), `footage` (which belong to one
moment), `placing` (a foreign world made ours), `one_by_one` (a camera that is wrong costs that camera),
`phone_recording` (phones that knew where they were). `sniffing` finds out which layout a folder has, `proposals` what
its options may be. What is left reads formats: Apple's (`apple_*`, `heif_*`, `jpeg_parts`, `portrait_file`),
COLMAP's, depth cameras', depth in arrays and EXR, foreign text and pickles.
"""
