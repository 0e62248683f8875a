"""The compressed profile of .avatar: Gaussians on a surface as residuals of whole numbers (docs/compression.md).

`profiles` says how finely; `quantize` makes whole numbers of an avatar's Gaussians and back; `surface`, `neighbors` and
`stream` predict them from each other; `models` and `coder` turn residuals into bytes; `template` is the body that they
hang on. `render.export.compressed` makes files of it all.
"""
