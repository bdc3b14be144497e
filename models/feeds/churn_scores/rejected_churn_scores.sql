{{ rejected_rows('churn_scores') }}
