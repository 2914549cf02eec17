"""Are the numbers right? Every figure that another library or a published table can judge: see `peers`."""
