"""Ruth AI Triton agent: starts and watches tritonserver, detects the hardware, declares capabilities."""
