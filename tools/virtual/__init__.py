"""The virtual capture stage: people, rigs and sensors whose truth is known, written as normal sessions."""
