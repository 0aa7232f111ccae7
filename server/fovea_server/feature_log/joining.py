"""Which label was known for an answer at a moment: the point-in-time join, in SQL."""

from __future__ import annotations

# What was received until the moment counts, and of that the last; of two received in the same microsecond the greater
# label. Feedback without a model is about every model that answered under the id. Refusals have no label. An id that a
# caller used twice joins both answers.
JOINED = """
WITH answers AS NOT MATERIALIZED (SELECT * FROM records WHERE time <= $as_of AND time >= $since AND $only),
given AS NOT MATERIALIZED (SELECT id, model, label, received FROM feedback WHERE received <= $as_of),
asked AS (SELECT DISTINCT id, model FROM answers WHERE outcome = 'OK'),
truth AS (
    SELECT asked.id, asked.model,
        arg_max(given.label, {'received': given.received, 'label': given.label}) AS label,
        max(given.received) AS labelled,
        count(*) AS labels_given,
        count(DISTINCT given.label) > 1 AS contradicted
    FROM asked JOIN given ON given.id = asked.id AND (given.model IS NULL OR given.model = asked.model)
    GROUP BY asked.id, asked.model
)
SELECT answers.*, truth.label, truth.labelled,
    coalesce(truth.labels_given, 0) AS labels_given,
    coalesce(truth.contradicted, false) AS contradicted,
    answers.top_labels[1] = truth.label AS correct
FROM answers LEFT JOIN truth
    ON answers.outcome = 'OK' AND answers.id = truth.id AND answers.model = truth.model
"""
