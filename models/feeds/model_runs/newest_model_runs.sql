{{ newest_rows('model_runs') }}
