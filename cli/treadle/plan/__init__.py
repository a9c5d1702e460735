"""`treadle plan`: would this tenant be admitted, where would it be served, and if not, what could be promised?"""
