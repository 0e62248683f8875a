"""What several cameras say together: triangulate, sides (left and right), clocks, turns (of the cameras)."""
