"""What error must a quantizer have, and what is the least it could have? Lines over bits (`lines`), best grids for a
density (`optimal_grids`), and predictions for schemes (`predictions`).
"""
