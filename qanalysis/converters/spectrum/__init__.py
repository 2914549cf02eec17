"""The dynamic figures of a captured tone: coherence, window, sine fit, components."""
