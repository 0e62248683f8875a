"""The inverse: captures to parameters. Reads top to bottom as the data flows; imports render, never tools."""
