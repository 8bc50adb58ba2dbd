"""The use cases: each reads through resources, calls pure code of ml and writes. No Dagster, no command line, no web
framework.
"""
