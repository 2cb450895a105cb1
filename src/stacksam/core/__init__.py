"""Volumes, slices and fields, prompts, windows, masks, metrics: numpy, scipy, scikit-image only."""
