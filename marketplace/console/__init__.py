"""The web console: pages for operators, traders and holders, rendered from the answers of the API."""
