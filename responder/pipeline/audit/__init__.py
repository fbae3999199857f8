"""Proof of what was done: seals over the audit, copies of them outside, and how both are checked.

sealing makes the seals, copies carries them out, proving and rows find what was changed, search
finds events, bundle takes an incident to a machine without our database.
"""
