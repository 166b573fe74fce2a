"""Kills, power cuts and mutants: the promise that nothing is lost and nothing applied twice."""
