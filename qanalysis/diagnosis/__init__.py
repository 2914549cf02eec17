"""Why does a layer lose what it loses under a scheme, and what would help? Causes with numbers and cures measured on
the layer: see `findings`.
"""
