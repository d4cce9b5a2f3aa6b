"""Capacity: how many replicas a traffic needs, what they cost, and whether an autoscaler follows in time."""
