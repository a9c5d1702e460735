"""`treadle bench kernels`: super-kernels against sharing a device by time or by space, as Jain et al. 2018, Table 1."""
