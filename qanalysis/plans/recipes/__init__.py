"""One file per back end: a plan in its own words, and what it can not express."""
