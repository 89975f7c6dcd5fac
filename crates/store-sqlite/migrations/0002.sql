-- Dead letters keep what they came with, and an id is never given twice.
CREATE TABLE kept_dead_letters (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    inlet   TEXT    NOT NULL,
    project TEXT,
    run     BLOB,
    reason  TEXT    NOT NULL,
    headers TEXT    NOT NULL,
    bytes   BLOB    NOT NULL
) STRICT;
INSERT INTO kept_dead_letters (id, at, inlet, run, reason, headers, bytes)
    SELECT id, at, inlet, run, reason, '{}', bytes FROM dead_letters;
DROP TABLE dead_letters;
ALTER TABLE kept_dead_letters RENAME TO dead_letters;
