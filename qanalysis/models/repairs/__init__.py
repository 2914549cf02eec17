"""What helps a quantized layer afterwards, measured before and after?"""
