"""`treadle bench switching`: automatic tiers beside each tier pinned, over real HTTP, through the paper's load."""
