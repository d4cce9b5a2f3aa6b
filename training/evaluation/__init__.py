"""Evaluation of packs on held-out samples: metrics, distances, tables, contact sheets."""
