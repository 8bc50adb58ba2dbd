"""The command line of Simsight."""

from pipelines.cli.app import app, main

__all__ = ["app", "main"]
