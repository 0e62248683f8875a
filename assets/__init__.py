"""manifest.toml lists every outside file with its origin, version, sha256 and licence."""
