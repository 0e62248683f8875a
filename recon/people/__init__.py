"""Several people in view: who they are, where each is at every moment, and one of them looked at alone.

sightings   everybody in one picture
associate   one moment: which sightings of several cameras are of one person
tracks      over time: who is who
survey      all of it, for a whole capture
record      what is known of the people
observing   the landmarks and masks of one of them
"""

from simulacra.recon.people.observing import blind_cameras, observe_person, survey_session
from simulacra.recon.people.record import People, load_people

__all__ = ["People", "blind_cameras", "load_people", "observe_person", "survey_session"]
