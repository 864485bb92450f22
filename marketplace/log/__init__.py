"""The event log: its port, its JetStream and in-memory adapters, and the codec between them."""
