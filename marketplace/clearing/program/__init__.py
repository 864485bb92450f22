"""Linear and integer programs of the book: bounds, cuts, dual prices."""
