"""Two servers on one database under load, while what they lean on fails: `python -m tests.soak`."""
