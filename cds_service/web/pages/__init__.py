"""Pages for people: the rules in plain words, one patient's ALP on a line of time, the sandbox EHR."""
