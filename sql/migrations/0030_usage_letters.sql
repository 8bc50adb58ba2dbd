-- Source and grade as a letter each: a row of usage is an eighth smaller, and comparing two takes half as long.
SET LOCAL ROLE simsight_owner;

DROP VIEW core.sim_usage_v1;
DROP VIEW core.sim_usage_early_v1;
ALTER TABLE core.sim_usage DROP CONSTRAINT sim_usage_source_check, DROP CONSTRAINT sim_usage_grade_check,
    ALTER COLUMN source DROP DEFAULT, ALTER COLUMN grade DROP DEFAULT;
ALTER TABLE core.sim_usage
    ALTER COLUMN source TYPE "char" USING source::"char",
    ALTER COLUMN grade TYPE "char" USING grade::"char";
ALTER TABLE core.sim_usage
    ADD CONSTRAINT sim_usage_source_check CHECK (source IN ('c', 'f', 's', 'q')),
    ADD CONSTRAINT sim_usage_grade_check CHECK (grade IN ('A', 'B', 'C')),
    ALTER COLUMN source SET DEFAULT 'c', ALTER COLUMN grade SET DEFAULT 'A';
COMMENT ON COLUMN core.sim_usage.source IS 'c: daily usage call, f: imported file, s: Data Streamer, q: difference between looks at the quota (core.usage_source says the word)';

DROP FUNCTION core.usage_rank(text, text);
CREATE FUNCTION core.usage_rank(source "char", grade "char") RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE source
        WHEN 'c' THEN 6
        WHEN 'f' THEN 5
        WHEN 's' THEN CASE grade WHEN 'A' THEN 4 ELSE 2 END
        ELSE CASE grade WHEN 'C' THEN 1 ELSE 3 END
    END;
COMMENT ON FUNCTION core.usage_rank("char", "char") IS 'How good a source of a day''s usage is with that grade; the higher one wins';

CREATE FUNCTION core.usage_source(source "char") RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE source WHEN 'c' THEN 'call' WHEN 'f' THEN 'file' WHEN 's' THEN 'stream' WHEN 'q' THEN 'quota' END;
COMMENT ON FUNCTION core.usage_source("char") IS 'The word for a source of usage';
