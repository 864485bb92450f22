"""Use cases of accounts, holds, statements and service lines."""
