"""The web console: pages for operators and traders, rendered from the answers of the API."""
