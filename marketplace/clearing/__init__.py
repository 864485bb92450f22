"""The clearing engine: a pure function from a book to matches, prices, decisions and a certificate."""
