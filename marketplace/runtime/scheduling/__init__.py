"""What falls due, and the parts of a worker that act on it."""
