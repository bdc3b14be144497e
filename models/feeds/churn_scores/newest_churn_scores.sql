{{ newest_rows('churn_scores') }}
