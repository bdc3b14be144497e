{{ raw_rows('churn_scores') }}
