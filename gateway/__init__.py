"""Ruth AI gateway: cameras to frames to Triton to rules to violations to events."""
