"""What is for sale: sites, pools, lots, public price lists, and the service level that they promise."""
