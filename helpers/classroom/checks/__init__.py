"""The checks of the exercises: one module a lesson, ``lesson_01`` for lesson 01."""
