collect_ignore_glob = ["*"]  # their tests are run where they are copied to
