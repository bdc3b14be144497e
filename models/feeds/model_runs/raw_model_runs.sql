{{ raw_rows('model_runs') }}
