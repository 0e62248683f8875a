"""simulacra's sessions as nerfstudio's data, and its runs in nerfstudio's viewer."""
