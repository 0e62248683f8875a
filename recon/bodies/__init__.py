"""Which body carries the person: the default one, or a model of the user's own.

names           what they are called in configurations
files           a model's file, read
correspond      which point of either surface is which of the other's
dress           what our detectors need of a foreign body: parts, mirror images, keypoints
convert         a person in one body as one in the other
opening         the body that a configuration or a run names
"""
