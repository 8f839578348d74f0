"""The HTTP interface: one module per noun, thin handlers, errors as problem details."""
