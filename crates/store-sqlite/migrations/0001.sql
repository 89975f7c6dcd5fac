-- What a transaction costs in SQLite is the pages that it dirties, not its rows or statements. So what
-- the hot path changes is narrow (runs, steps) or only ever appended (segments), and nothing large is
-- clustered by run.

CREATE TABLE install (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    partitions INTEGER NOT NULL
) STRICT;

CREATE TABLE partitions (
    id          INTEGER PRIMARY KEY,
    epoch       INTEGER NOT NULL DEFAULT 0,
    owner       BLOB,
    published   INTEGER NOT NULL DEFAULT 0,
    out_seq     INTEGER NOT NULL DEFAULT 0,
    cursor      INTEGER NOT NULL DEFAULT 0,
    batch_id    INTEGER NOT NULL DEFAULT 0,
    format      INTEGER NOT NULL DEFAULT 1,
    incarnation TEXT    NOT NULL DEFAULT ''
) STRICT;

-- AUTOINCREMENT: a place is not given again after its row was deleted.
CREATE TABLE inbox (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    partition INTEGER NOT NULL,
    id        BLOB    NOT NULL UNIQUE,
    project   TEXT    NOT NULL,
    run       BLOB    NOT NULL,
    at        INTEGER NOT NULL,
    command   BLOB    NOT NULL
) STRICT;
CREATE INDEX inbox_by_partition ON inbox (partition);
CREATE INDEX inbox_by_run ON inbox (run);

CREATE TABLE idempotency (
    project TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    body    BLOB    NOT NULL,
    run     BLOB    NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (project, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (at);

CREATE TABLE documents (
    digest BLOB NOT NULL UNIQUE,
    bytes  BLOB NOT NULL
) STRICT;

-- What a run begins with: written once. `no` is the small key of (project, run) everywhere else.
CREATE TABLE run_details (
    no             INTEGER PRIMARY KEY,
    id             BLOB    NOT NULL,
    project        TEXT    NOT NULL,
    partition      INTEGER NOT NULL,
    snapshot       BLOB    NOT NULL,
    priority       INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    inputs_segment INTEGER,
    inputs_offset  INTEGER,
    inputs_len     INTEGER,
    inputs_digest  BLOB,
    inputs_labels  TEXT,
    plan           TEXT    NOT NULL,
    submitted_by   TEXT    NOT NULL,
    traceparent    TEXT,
    labels         TEXT
) STRICT;
CREATE UNIQUE INDEX run_details_by_id ON run_details (id);
CREATE INDEX run_details_by_project ON run_details (project);

-- `hash`: the first 8 bytes of the SHA-256 of project, key and value.
CREATE TABLE run_labels (
    hash INTEGER NOT NULL,
    no   INTEGER NOT NULL,
    PRIMARY KEY (hash, no)
) STRICT, WITHOUT ROWID;

-- What changes of a run: narrow, so that a batch over many runs dirties few pages.
CREATE TABLE runs (
    no              INTEGER PRIMARY KEY,
    state           INTEGER NOT NULL,
    last_seq        INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    ended_at        INTEGER,
    tokens_reserved INTEGER NOT NULL,
    tokens_used     INTEGER NOT NULL,
    cost_reserved   INTEGER NOT NULL,
    cost_used       INTEGER NOT NULL,
    calls_reserved  INTEGER NOT NULL,
    calls_used      INTEGER NOT NULL,
    outputs_segment INTEGER,
    outputs_offset  INTEGER,
    outputs_len     INTEGER,
    outputs_digest  BLOB,
    outputs_labels  TEXT,
    head            TEXT,
    error           TEXT
) STRICT;

-- By rowid: steps that are born together lie together, whatever run they are of.
CREATE TABLE steps (
    run            INTEGER NOT NULL,
    ix             INTEGER NOT NULL,
    partition      INTEGER NOT NULL,
    state          INTEGER NOT NULL,
    dispatch       INTEGER NOT NULL,
    attempt        INTEGER NOT NULL,
    generation     INTEGER NOT NULL,
    effect         INTEGER NOT NULL,
    priority       INTEGER NOT NULL,
    out_seq        INTEGER NOT NULL,
    dispatch_event INTEGER NOT NULL,
    clean_attempt  INTEGER,
    ready_at       INTEGER,
    dispatched_at  INTEGER,
    started_at     INTEGER,
    ended_at       INTEGER,
    wake_at        INTEGER,
    output_segment INTEGER,
    output_offset  INTEGER,
    output_len     INTEGER,
    output_digest  BLOB,
    output_labels  TEXT,
    pool           TEXT,
    path           TEXT    NOT NULL,
    error          TEXT
) STRICT;
CREATE UNIQUE INDEX steps_by_run ON steps (run, ix);
-- Ready, dispatched or running: all that a takeover reads. (No IN here: it would open a temporary tree for
-- each row written.)
CREATE INDEX steps_open ON steps (partition, run, ix) WHERE state >= 2 AND state <= 4;

CREATE TABLE segments (
    run       INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    count     INTEGER NOT NULL,
    events    BLOB    NOT NULL,
    payloads  BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX segments_by_run ON segments (run, first_seq);

-- `ix` -1: the run's own.
CREATE TABLE timers (
    run       INTEGER NOT NULL,
    ix        INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (run, ix)
) STRICT, WITHOUT ROWID;
CREATE INDEX timers_due ON timers (partition, at);

-- `process` NULL: burned.
CREATE TABLE claims (
    run      INTEGER NOT NULL,
    ix       INTEGER NOT NULL,
    dispatch INTEGER NOT NULL,
    process  BLOB,
    stop     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, ix, dispatch)
) STRICT, WITHOUT ROWID;
CREATE INDEX claims_to_stop ON claims (process) WHERE stop = 1;

CREATE TABLE journal (
    run        INTEGER NOT NULL,
    ix         INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    entry_ix   INTEGER NOT NULL,
    dispatch   INTEGER NOT NULL,
    entry      BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX journal_by_step ON journal (run, ix, generation, attempt, entry_ix);

CREATE TABLE step_logs (
    run      INTEGER NOT NULL,
    ix       INTEGER NOT NULL,
    dispatch INTEGER NOT NULL,
    offset   INTEGER NOT NULL,
    bytes    BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX step_logs_by_step ON step_logs (run, ix, dispatch, offset);

CREATE TABLE dead_letters (
    id     INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    inlet  TEXT    NOT NULL,
    run    BLOB,
    reason TEXT    NOT NULL,
    bytes  BLOB    NOT NULL
) STRICT;

CREATE TABLE processes (
    id              BLOB    NOT NULL PRIMARY KEY,
    heartbeat       INTEGER NOT NULL,
    closed          INTEGER NOT NULL DEFAULT 0,
    format          INTEGER NOT NULL,
    service         TEXT    NOT NULL,
    slots           TEXT    NOT NULL,
    tools           BLOB    NOT NULL,
    policy_revision TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
