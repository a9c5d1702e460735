"""`treadle bench scheduling`: the production scheduler over random models, deadlines and loads, simulated."""
