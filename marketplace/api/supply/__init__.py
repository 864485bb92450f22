"""Routes of sites, pools and lots."""
