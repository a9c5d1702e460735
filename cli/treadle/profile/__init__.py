"""`treadle profile`: what models ask of a device: which shapes could share launches, and what merging gains."""
