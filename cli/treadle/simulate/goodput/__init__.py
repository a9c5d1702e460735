"""`treadle simulate goodput`: whole models of many tenants on the analytic GPU, under open loads with deadlines."""
