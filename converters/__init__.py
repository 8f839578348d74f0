"""Ruth AI converters: a trained model file becomes a checked, versioned model in a Triton repository."""
