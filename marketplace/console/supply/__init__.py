"""Pages of providers: inventory, lots against the market's curve, incidents, earnings and bonds."""
