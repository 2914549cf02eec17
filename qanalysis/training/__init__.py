"""How do ranges, widths and gradients adapt while a network trains quantized, and what would other rules have done?"""
