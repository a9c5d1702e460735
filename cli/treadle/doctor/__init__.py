"""`treadle doctor`: what does this machine, or a cluster, lack for serving, and how is that mended?"""
