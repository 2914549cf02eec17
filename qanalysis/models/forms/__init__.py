"""What do weights, activations or both in few bits cost a model: size, layer error, accuracy?"""
