"""Use cases of sites, pools, lots and price lists."""
