"""Tables of accounts, holds, statements and service lines."""
