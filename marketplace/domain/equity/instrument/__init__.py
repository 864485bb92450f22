"""Instruments: SAFEs, notes, priced stock and warrants; from draw to conversion."""
