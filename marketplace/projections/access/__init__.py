"""Tables of parties."""
