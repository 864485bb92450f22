"""Tables of instruments and cap tables."""
