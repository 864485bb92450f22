"""What a process is set up with: configuration, secrets, the garbage collector."""
