"""`treadle trace`: a timeline of what a running server launches."""
