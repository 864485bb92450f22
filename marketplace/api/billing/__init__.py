"""Routes of accounts, holds, statements and service lines."""
