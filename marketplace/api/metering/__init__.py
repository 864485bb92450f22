"""Routes of readings and their allocation; meters over HTTP and NATS."""
