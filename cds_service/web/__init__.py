"""HTTP: the only place that knows Flask. Everything here is translation."""
