"""Volume geometry, slices and fields, prompts, windowing, masks and metrics (numpy, scipy, scikit-image only)."""
