"""The codemod behind `quart-tasks migrate`: Flask code becomes Quart code.

`run.migrate` reads a project, lets each rule look at it, colours its functions, and answers with
new sources and findings; nothing is written here. `command.py` is the command.
"""
