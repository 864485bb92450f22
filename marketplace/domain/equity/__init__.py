"""Instruments that become equity, and the issuers whose capitalisation they change."""
