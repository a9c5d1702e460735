"""`treadle demo`: train seventeen tenants, serve them, load them past what the best models carry, and report."""
