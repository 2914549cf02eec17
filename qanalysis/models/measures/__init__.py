"""What does a layer's error cost by a formula, without running the changed model?"""
