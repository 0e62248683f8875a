"""What cameras make of what is before them: lenses, shutters, colour and depth sensors."""
