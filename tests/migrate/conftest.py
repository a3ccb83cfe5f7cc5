import pytest

# Their asserts compare whole sources: a failure shows the difference.
pytest.register_assert_rewrite("tests.migrate.cases", "tests.migrate.asking")
