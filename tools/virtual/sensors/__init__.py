"""What cameras make of what is before them: lenses, shutters, color and depth sensors."""
