"""napari layers to volumes, prompts and labels, and back; what the manifest names."""
