"""The book as arrays, and allocations on them."""
