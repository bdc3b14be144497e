{{ typed_rows('churn_scores') }}
