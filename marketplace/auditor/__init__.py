"""An auditor of a market: it reads the raw stream and the tables, and shares no code with what it audits."""
