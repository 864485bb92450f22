"""A simulator of the log: the real appender, cache and handler of several processes on a model of JetStream."""
