"""Commands of `maskweave` that prepare data, train, evaluate, invert and import."""
