"""Renders the contract for subscribers: JSON Schemas, AsyncAPI and the table of the README."""
