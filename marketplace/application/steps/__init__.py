"""Steps that several use cases take in one append: who may, capacity, dilution, payments, settlement."""
