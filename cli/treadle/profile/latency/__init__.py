"""`treadle profile -f`: how long a tenant's tiers take on a device, by batch and by load."""
