"""`treadle top`: what tenants are promised and what they get, as it goes on."""
