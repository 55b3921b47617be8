"""Synthetic patients and the hook requests made from them: for tests, command line and demo alike."""
