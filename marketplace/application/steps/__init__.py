"""Steps that several use cases share within one append: permissions, capacity, dilution, payments, settlement."""
