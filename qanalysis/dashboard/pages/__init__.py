"""One file per page: read the state, ask the cache, draw."""
