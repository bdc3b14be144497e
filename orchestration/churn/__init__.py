"""Trains the churn model, stores it, deploys it when it is better, scores customers. It knows neither Airflow nor dbt.

    table ─▶ prepared ─▶ trained ─▶ <bucket models>/<hash>/churn_model_v3.tar.gz, card.json, card.html ─▶ endpoint

A model is known by the hash of its bytes: the same table gives the same model, and what is stored is never written
over. Its card says all that is known of it: the order of its features, the codes of their categories, what it was
trained on, how it measures.
"""
