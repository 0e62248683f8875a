"""A run on disk: `configuration` (YAML and command line to frozen records), `stages` (each kept, skipped, continued),
`files` (written whole or not at all), `progress`.
"""
