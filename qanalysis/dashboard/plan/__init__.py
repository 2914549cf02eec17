"""Page Plan: bits for each layer under a budget, and the recipe of the back end that obeys."""
