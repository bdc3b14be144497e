{{ rejected_rows('model_runs') }}
