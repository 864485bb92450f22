"""Tables of grants and of the reliability of providers."""
