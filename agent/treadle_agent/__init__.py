"""The node agent: one front end and one executor process per device serve every tenant placed on this machine."""
