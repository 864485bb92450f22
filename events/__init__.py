"""The contract for subscribers: event types, envelope, subjects. Needs msgspec and the standard library only."""
