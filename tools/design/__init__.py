"""What a rig would give before it is bought: virtual captures through the real pipeline, with the truth beside them."""
