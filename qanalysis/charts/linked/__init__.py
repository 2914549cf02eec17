"""Charts that move together in the browser: what Python packs, and the modules that draw it."""
