"""The setup of a process: configuration, secrets and garbage collection."""
