"""What `jconv demo` shows: a network trained on handwritten digits, measured and drawn."""
