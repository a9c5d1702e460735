"""Models: where they may come from, how they are fetched, and what is kept of them."""
