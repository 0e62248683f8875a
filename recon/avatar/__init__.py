"""Gaussian avatars: made on the fitted body, trained on the photographs, drawn in any of its frames."""
