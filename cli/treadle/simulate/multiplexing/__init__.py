"""`treadle simulate multiplexing`: sharing a GPU by time, by space and merged, as in Jain et al. 2018 and 2019."""
