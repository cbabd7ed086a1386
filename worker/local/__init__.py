"""The embedded servers: SeaweedFS, Valkey and PostgreSQL with pgvector, from wheels, and the supervisor that runs them.

They are the real servers, so that development is production: whatever works on a laptop works against a cluster, and
any of them is replaced by giving its URL. ``LocalStack`` starts them under a home directory; its ``supervisor`` also
runs the product's own processes. When the process that started them dies, by any signal, everything it started ends.

Import the modules: most commands only ask what runs, and load no more than that takes.
"""
