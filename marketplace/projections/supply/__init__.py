"""Tables of sites, pools, lots and free capacity."""
