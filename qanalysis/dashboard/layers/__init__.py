"""Page Layers: what does each layer lose under each scheme?"""
