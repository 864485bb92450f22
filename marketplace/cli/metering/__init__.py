"""What other systems say of GPUs, read from their own files."""
