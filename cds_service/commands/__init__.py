"""What the `cds-service` command does, beside parsing its arguments."""
