from .cases import check


def test_a_template_of_jinja() -> None:
    check(
        """\
        from quart import current_app


        def mail(name):
            template = current_app.jinja_env.get_template("mail.txt")
            return template.render(name=name).strip()
        """,
        """\
        from quart import current_app


        async def mail(name):
            template = current_app.jinja_env.get_template("mail.txt")
            return (await template.render_async(name=name)).strip()
        """,
    )
