"""Virtual people: bodies, skin, hair and clothes out of a seed."""
