"""Ruth AI converters: a trained model file becomes a checked, versioned model in a Triton repository."""

import os

# ONNX Runtime reads it when it is imported: without, it gives the machine an id and reports to its vendor.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
