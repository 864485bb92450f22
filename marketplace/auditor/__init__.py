"""An auditor of a market. It reads the raw stream and the tables, and shares no code with the code that wrote them."""
