"""Stock of an issuer: issued, split, offered, transferred, converted."""
