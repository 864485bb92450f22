"""What falls due, and the parts of a worker that start it."""
