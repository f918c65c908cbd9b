"""Plausible wrong answers to every task: one module a lesson, found by its number.

``MISTAKES`` names, for each task, at least three things that a learner might hand in,
each with a few words of what the check must have seen.
"""
