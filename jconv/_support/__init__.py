"""What the rest stands on and no convolution is in: clocks, progress, files, SVG."""
