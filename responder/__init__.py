"""An alert comes in by webhook; an incident with the first ten minutes of work done goes out."""

__version__ = "0.1.0"
