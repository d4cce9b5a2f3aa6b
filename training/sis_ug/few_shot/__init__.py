"""Label maps from a handful of labelled samples (SIS-UG's few-shot setting)."""
