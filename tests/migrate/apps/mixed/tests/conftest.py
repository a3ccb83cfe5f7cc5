import pytest

from newsroom import create_app


@pytest.fixture
def app(tmp_path):
    return create_app(
        {
            "TESTING": True,
            "DATA": str(tmp_path),
            "CELERY": {
                "broker_url": "memory://",
                "result_backend": f"file://{tmp_path}",
                "task_always_eager": True,
                "task_store_eager_result": True,
            },
        }
    )


@pytest.fixture
def client(app):
    return app.test_client()
