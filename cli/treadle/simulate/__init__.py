"""`treadle simulate`: the production policies on a simulated clock, a simulation a package."""
