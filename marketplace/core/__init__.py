"""Values and rules that everything else stands on: no I/O, no clock, no floats."""
