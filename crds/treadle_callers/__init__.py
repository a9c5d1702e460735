"""Who calls and what they may, by the API server's word of now or of before: agents ask it, and the operator does."""
