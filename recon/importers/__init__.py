"""One file for every foreign layout. What is foreign about it, axes, units, half pixels, ends in that file."""
