"""Command handling, reactors, auctioneer, timers, clock, configuration and telemetry."""
