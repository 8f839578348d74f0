"""Heads: how a network's outputs become candidates, as ONNX operators and, independently, in NumPy.

Each module holds one kind of head: a frozen value that names its output tensors, appends their decoding to a fused
graph, and decodes the same outputs of one picture by hand for the reference.
"""
