"""Tables of readings and of evidence for contradictions."""
