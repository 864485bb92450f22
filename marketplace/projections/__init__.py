"""Read models: tables, the event types each handles, and how it applies them."""
