"""`treadle simulate model-switching`: effective accuracy through a load spike (Zhang et al., HotCloud 2020)."""
