"""One startup, one provider, one fund: a market's life in about a hundred events, every event type among them.

The golden samples are taken from here. Amounts, spans and hashes agree with each other from the first event to the
last, so that a subscriber can test its own code on them.
"""
