"""Measurements: accuracy and speed, here and beside other libraries."""
