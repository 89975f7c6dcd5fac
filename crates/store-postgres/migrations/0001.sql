-- What SQL asks for is a column; the rest of a row is `detail`, a JSON object in UTF-8 (of any characters, NUL
-- too, whatever the database's encoding). An array a column is what UNNEST costs: a step of 25 columns took 11 µs
-- to write, of 6 columns 8 µs, and a turn of one step twice as long.
--
-- Runs are keyed by their id everywhere: it begins with its time, so what is born together lies together, and no
-- lookup of a smaller key stands between a turn and its rows.

CREATE TABLE partitions (
    id          integer PRIMARY KEY,
    epoch       bigint  NOT NULL DEFAULT 0,
    owner       uuid,
    published   bigint  NOT NULL DEFAULT 0,
    out_seq     bigint  NOT NULL DEFAULT 0,
    cursor      bigint  NOT NULL DEFAULT 0,
    batch_id    bigint  NOT NULL DEFAULT 0,
    format      bigint  NOT NULL DEFAULT 1,
    incarnation bytea   NOT NULL DEFAULT ''
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- `seq` is given when a row is inserted and seen when it is committed, so a lower one may be seen later than a
-- higher one. Nothing is lost by it: the owner reads from 0 on and deletes what it applied.
CREATE TABLE inbox (
    partition integer NOT NULL,
    seq       bigint  NOT NULL GENERATED ALWAYS AS IDENTITY,
    id        uuid    NOT NULL UNIQUE,
    project   text    NOT NULL COLLATE "C",
    run       uuid    NOT NULL,
    at        bigint  NOT NULL,
    command   bytea   NOT NULL,
    PRIMARY KEY (partition, seq)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX inbox_by_run ON inbox (run);

-- `key`: the SHA-256 of the project and the client's key, which may be longer than an index takes.
CREATE TABLE idempotency (
    key  bytea  NOT NULL PRIMARY KEY,
    body bytea  NOT NULL,
    run  uuid   NOT NULL,
    at   bigint NOT NULL
);
CREATE INDEX idempotency_by_age ON idempotency (at);

CREATE TABLE documents (
    digest bytea NOT NULL PRIMARY KEY,
    bytes  bytea NOT NULL
);

-- What a run begins with: written once.
CREATE TABLE run_details (
    id         uuid   NOT NULL PRIMARY KEY,
    project    text   NOT NULL COLLATE "C",
    created_at bigint NOT NULL,
    plan       bytea  NOT NULL,
    detail     bytea  NOT NULL
);
CREATE INDEX run_details_by_age ON run_details (project, created_at, id);

-- `hash`: the first 8 bytes of the SHA-256 of project, key and value.
CREATE TABLE run_labels (
    hash       bigint NOT NULL,
    created_at bigint NOT NULL,
    run        uuid   NOT NULL,
    PRIMARY KEY (hash, created_at, run)
);

-- What changes of a run. No index but the key, and room in each page: every change stays in its page.
CREATE TABLE runs (
    id       uuid     NOT NULL PRIMARY KEY,
    state    smallint NOT NULL,
    last_seq bigint   NOT NULL,
    detail   bytea    NOT NULL
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);

CREATE TABLE steps (
    run       uuid     NOT NULL,
    ix        bigint   NOT NULL,
    partition integer  NOT NULL,
    state     smallint NOT NULL,
    dispatch  bigint   NOT NULL,
    detail    bytea    NOT NULL,
    PRIMARY KEY (run, ix)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000);
-- All that a takeover reads of steps: what is out, and what waits for its pool.
CREATE INDEX steps_out ON steps (partition, run, ix) WHERE state IN (3, 4);
CREATE INDEX steps_ready ON steps (partition, run, ix) WHERE state = 2;

CREATE TABLE segments (
    run       uuid    NOT NULL,
    first_seq bigint  NOT NULL,
    count     integer NOT NULL,
    events    bytea   NOT NULL,
    payloads  bytea   NOT NULL,
    PRIMARY KEY (run, first_seq)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.2);
-- Not compressed: a slice of it is read without the rest, and compressing costs the owner's turn.
ALTER TABLE segments ALTER COLUMN payloads SET STORAGE EXTERNAL;

-- `ix` -1: the run's own.
CREATE TABLE timers (
    run       uuid    NOT NULL,
    ix        bigint  NOT NULL,
    partition integer NOT NULL,
    at        bigint  NOT NULL,
    PRIMARY KEY (run, ix)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
CREATE INDEX timers_due ON timers (partition, at);

-- `process` NULL: burned.
CREATE TABLE claims (
    run      uuid    NOT NULL,
    ix       bigint  NOT NULL,
    dispatch bigint  NOT NULL,
    process  uuid,
    stop     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (run, ix, dispatch)
);
CREATE INDEX claims_to_stop ON claims (process) WHERE stop;

CREATE TABLE journal (
    run        uuid   NOT NULL,
    ix         bigint NOT NULL,
    generation bigint NOT NULL,
    attempt    bigint NOT NULL,
    entry_ix   bigint NOT NULL,
    dispatch   bigint NOT NULL,
    entry      bytea  NOT NULL,
    PRIMARY KEY (run, ix, generation, attempt, entry_ix)
);

CREATE TABLE step_logs (
    run      uuid   NOT NULL,
    ix       bigint NOT NULL,
    dispatch bigint NOT NULL,
    byte_at  bigint NOT NULL,
    bytes    bytea  NOT NULL,
    PRIMARY KEY (run, ix, dispatch, byte_at)
);

-- `headers`: a JSON object.
CREATE TABLE dead_letters (
    id      bigint NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      bigint NOT NULL,
    inlet   bytea  NOT NULL,
    project text   COLLATE "C",
    run     uuid,
    reason  bytea  NOT NULL,
    headers bytea  NOT NULL,
    bytes   bytea  NOT NULL
);

CREATE TABLE processes (
    id              uuid    NOT NULL PRIMARY KEY,
    heartbeat       bigint  NOT NULL,
    closed          boolean NOT NULL DEFAULT false,
    format          bigint  NOT NULL,
    service         bytea   NOT NULL,
    slots           bytea   NOT NULL,
    tools           bytea   NOT NULL,
    policy_revision bytea   NOT NULL
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- Milliseconds since 1970 by the database's clock, unless a test gives another.
CREATE FUNCTION now_ms(given bigint) RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT coalesce(given, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) $$;

-- Ends a statement that must not be written, with a reason: nothing of it is.
CREATE FUNCTION refuse(code text, reason text) RETURNS integer LANGUAGE plpgsql VOLATILE AS
$$ BEGIN RAISE EXCEPTION USING ERRCODE = code, MESSAGE = reason; END $$;
