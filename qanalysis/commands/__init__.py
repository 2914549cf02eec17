"""One file per command of the command line; `cli` registers them."""
