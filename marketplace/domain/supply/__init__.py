"""Supply: sites, pools, lots, public price lists, and promised service levels."""
