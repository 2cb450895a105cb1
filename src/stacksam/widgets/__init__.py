"""Qt widgets that drive a Session; they know nothing of napari or of each other."""
