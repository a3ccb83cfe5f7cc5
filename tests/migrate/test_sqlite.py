from .cases import check


def test_a_connection_of_a_request() -> None:
    check(
        """\
        import sqlite3

        from quart import g


        def get_db():
            if "db" not in g:
                g.db = sqlite3.connect("shop.db", timeout=5)
            return g.db


        def load():
            return sqlite3.connect("other.db")
        """,
        """\
        import sqlite3

        from quart import g


        def get_db():
            if "db" not in g:
                g.db = sqlite3.connect("shop.db", timeout=5, check_same_thread=False)
            return g.db


        def load():
            return sqlite3.connect("other.db")
        """,
    )
