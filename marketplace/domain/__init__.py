"""One decider per aggregate."""
