"""What would other rules have done over recorded statistics? Series, grids and energies of a replay."""
