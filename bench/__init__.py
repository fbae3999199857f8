"""Measures what the responder promises in numbers: `make bench`, `make bench-full`.

A subject is a module of this package with

    def measure(chosen: Chosen) -> Iterator[Line]

and `python -m bench <subject>` runs it alone. It yields each line as soon as it is known.
"""
