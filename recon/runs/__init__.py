"""A run on disk: stages and their records, the configuration, progress."""
