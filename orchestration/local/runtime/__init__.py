"""What runs on this machine beside the stand-ins: processes, PostgreSQL, Airflow."""
