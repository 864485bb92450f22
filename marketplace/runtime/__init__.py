"""What runs without a request: the worker's timers, reactors and auctions; books for quotes; the setup of a process."""
