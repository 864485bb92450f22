"""From a book to a good allocation."""
