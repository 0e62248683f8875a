"""The forward model: parameters to pixels. Knows nothing of captures; imports torch, never recon or tools."""
