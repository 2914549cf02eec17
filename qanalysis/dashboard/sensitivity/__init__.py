"""Page Sensitivity: which layer hurts, and how sure is that?"""
