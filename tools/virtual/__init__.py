"""Virtual captures: people, rigs and sensors whose truth is known, written as normal sessions."""
