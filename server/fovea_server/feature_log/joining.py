"""Which label was known for an answer: the join of records and feedback, both as of one moment already, in SQL."""

from __future__ import annotations

# Of what was received the last counts; of two received in the same microsecond the greater label. Feedback without a
# model is about every model that answered under the id. Refusals have no label. An id that a caller used twice joins
# both answers.
JOINED = """
WITH answers AS NOT MATERIALIZED (SELECT * FROM records WHERE time >= $since AND $only),
asked AS (SELECT DISTINCT id, model FROM answers WHERE outcome = 'OK'),
truth AS (
    SELECT asked.id, asked.model,
        arg_max(feedback.label, {'received': feedback.received, 'label': feedback.label}) AS label,
        max(feedback.received) AS labelled,
        count(*) AS labels_given,
        count(DISTINCT feedback.label) > 1 AS contradicted
    FROM asked JOIN feedback ON feedback.id = asked.id AND (feedback.model IS NULL OR feedback.model = asked.model)
    GROUP BY asked.id, asked.model
)
SELECT answers.*, truth.label, truth.labelled,
    coalesce(truth.labels_given, 0) AS labels_given,
    coalesce(truth.contradicted, false) AS contradicted,
    answers.top_labels[1] = truth.label AS correct
FROM answers LEFT JOIN truth
    ON answers.outcome = 'OK' AND answers.id = truth.id AND answers.model = truth.model
"""
