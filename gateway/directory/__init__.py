"""What the gateway's replicas tell each other of runtimes."""
