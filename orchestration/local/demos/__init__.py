"""What is shown on demo files by a real Airflow: sales, tables."""
