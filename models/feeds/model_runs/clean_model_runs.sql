{{ clean_rows('model_runs') }}
