"""A market of the runtime for tests: actors, meters, walks, and the list of what commands may only look at."""
