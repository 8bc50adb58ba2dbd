"""Questions in plain language: a sentence becomes a typed Question, and one compiler makes parametrised SQL of it.

This package imports no data library: the HTTP service starts without them.
"""
