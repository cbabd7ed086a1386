-- Logins with fewer rights than the owner's: `enrich migrate` says which. Run at every start; passwords follow .env.
\getenv worker_password POSTGRES_WORKER_PASSWORD
\getenv reader_password POSTGRES_READER_PASSWORD
SELECT format('CREATE ROLE %I LOGIN', name) FROM unnest(ARRAY['enrich_worker', 'enrich_reader']) AS name
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE enrich_worker PASSWORD :'worker_password';
ALTER ROLE enrich_reader PASSWORD :'reader_password';
