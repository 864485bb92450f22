"""A full auction on real servers, and what it takes in time and memory."""
