"""Files that torch saved, read without torch and without running anything of theirs."""
