"""Issuers: stock, rights, financings and sales of a company."""
