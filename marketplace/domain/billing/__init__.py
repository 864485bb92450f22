"""Money: accounts, holds, statements, their settlement, and service lines."""
