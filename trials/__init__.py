"""Long trials of the whole product: hard input files, damaged files, and memory over half an hour.

Outside the product: nothing in `apps` imports it. It uses the product as its
users do: the engine through its child process, the site through its API.
"""
