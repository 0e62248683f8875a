"""One YAML file per way of working, each saying only what differs from the defaults in the code."""
