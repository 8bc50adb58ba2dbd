"""A simulated 1NCE account over HTTP, for the demo and the tests. Its data is synthetic."""
