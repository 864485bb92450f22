"""Routes of instruments, issuers, cap tables and OCF packages."""
