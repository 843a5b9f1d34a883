"""Trains the MLLM that this package ships: a tiny LLaVA that knows the world ``faces``.

``make.make`` is the whole of it: draw scenes, tune the vision tower, tune the answers, export.
"""
