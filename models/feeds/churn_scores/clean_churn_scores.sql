{{ clean_rows('churn_scores') }}
