"""`make bench BENCH=DIR`: how good and how dear the models are, measured on clips whose mattes are known.

Outside the product: nothing in `apps` imports it. It runs the product as its
users do, by its command line, and lets DIR's own `score.py` judge.
"""
