"""`python -m quart_tasks`: the same as `quart-tasks`."""

from .cli import cli

if __name__ == "__main__":  # a worker process imports this module too, under another name
    cli(prog_name="quart-tasks")
