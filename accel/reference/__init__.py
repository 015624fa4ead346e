"""The definitions of every kernel in NumPy float64: slow, obvious, and what all tests compare with."""
