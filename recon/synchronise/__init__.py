"""Cameras that were started one by one, brought onto one clock.

Read `session` (from a session to another whose pictures belong together). Before it `streams` (all pictures of a
camera), `watching` (the person in them), `clocks` (offsets and drift, by `recon.multiview.offsets` to a frame,
`recon.multiview.sharpen` to parts of one, and `sound`); `record` is what is known in the end.
"""

from simulacra.recon.synchronise.clocks import By, find_clocks
from simulacra.recon.synchronise.record import CameraClock, Synchronisation, Witness
from simulacra.recon.synchronise.session import synchronise_session

__all__ = ["By", "CameraClock", "Synchronisation", "Witness", "find_clocks", "synchronise_session"]
