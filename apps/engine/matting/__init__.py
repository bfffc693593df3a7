"""Matting: models by name, and the weights they need.

Import-light on purpose: the web process asks `weights` what is installed and
must not pay for onnxruntime or OpenCV. To run a model:
`from apps.engine.matting.load import load`.
"""
