"""Charts as SVG, for the console's pages."""
