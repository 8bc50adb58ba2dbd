"""Actions: what a person may have done through 1NCE's API, off unless switched on."""
