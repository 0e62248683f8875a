"""What a rig would give before it is bought: virtual captures through the real pipeline, with the truth beside them.

Read `config` (what is asked), `command`, `points` (one capture, reconstructed), `summary` (intervals), `page` and
`chart`.
"""
