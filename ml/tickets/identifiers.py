"""Which SIM a ticket is about, read from its text: ICCID, MSISDN, IMSI, IMEI, IP address or label."""

from __future__ import annotations

import polars as pl

SIM_SCHEMA = {"ticket": pl.UInt32, "iccid": pl.String, "named_by": pl.String}
IDENTIFIERS = ("msisdn", "imsi", "imei", "ip_address", "label")
_ICCID = r"89(?:[ \-./]?\d){17,30}[fF]?"
_NUMBER = r"\+?\d(?:[ \-/]?\d){9,17}"
_RUN = r"\d{10,16}"
_ADDRESS = r"\d{1,3}(?:\.\d{1,3}){3}"
_WORD = r"[\p{L}\p{N}][\p{L}\p{N}_.\-:/#]*"
MIN_LABEL = 4  # characters; a shorter label would be found in any text
MAX_LABEL_WORDS = 4
_RANK = {"iccid": 0, "imsi": 1, "msisdn": 2, "imei": 3, "label": 4, "ip_address": 5}


def find_sims(texts: pl.Series, sim_facts: pl.DataFrame | None = None) -> pl.DataFrame:
    """The SIMs that tickets name: SIM_SCHEMA, one row a ticket (position) and SIM, the surest first.

    sim_facts   the fleet: iccid and any of IDENTIFIERS (text); an identifier that two SIMs share names neither.
                Without it, only ICCIDs are found, as written and if their check digit or length holds.
    """
    tickets = pl.DataFrame({"ticket": pl.Series(range(len(texts)), dtype=pl.UInt32), "text": texts.fill_null("")})
    written = _written(tickets)
    if sim_facts is None or "iccid" not in sim_facts.columns:
        long, short = pl.col("value").str.slice(0, 20), pl.col("value").str.slice(0, 19)
        iccid = pl.when((long.str.len_chars() == 20) & _luhn(long)).then(long).otherwise(short)
        only = written.filter(pl.col("kind") == "iccid")
        found = only.select("ticket", iccid=iccid, named_by=pl.lit("iccid"))
        return found.unique(["ticket", "iccid"], keep="first", maintain_order=True).cast(SIM_SCHEMA)  # type: ignore[arg-type]
    known = _known(sim_facts)
    cut = pl.when(pl.col("kind") == "iccid").then(pl.col("value").str.slice(0, 19)).otherwise(pl.col("value"))
    sought = pl.concat([written.with_columns(value=cut), _labels(tickets, known)])
    numbers = sought.filter(pl.col("kind") == "number").drop("kind")
    numbers = pl.concat(
        [
            numbers.with_columns(
                kind=pl.lit(kind), value=pl.col("value").str.slice(0, 14) if kind == "imei" else "value"
            )
            for kind in ("msisdn", "imsi", "imei")
        ]
    ).select("ticket", "kind", "value")
    matched = pl.concat([sought.filter(pl.col("kind") != "number"), numbers]).join(known, on=["kind", "value"])
    ranked = matched.with_columns(rank=pl.col("kind").replace_strict(_RANK, return_dtype=pl.Int8))
    ranked = ranked.sort("ticket", "rank", maintain_order=True).unique(
        ["ticket", "iccid"], keep="first", maintain_order=True
    )
    return ranked.select("ticket", "iccid", named_by="kind").cast(SIM_SCHEMA)  # type: ignore[arg-type]


def _written(tickets: pl.DataFrame) -> pl.DataFrame:
    """Values as written, in the order of the text: ticket, kind (iccid, number, ip_address), value."""

    def values(kind: str, pattern: str) -> pl.DataFrame:
        found = tickets.select("ticket", value=pl.col("text").str.extract_all(pattern)).explode("value").drop_nulls()
        return found.select("ticket", kind=pl.lit(kind), value="value")

    def digits(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(pl.col("value").str.replace_all(r"\D", ""))

    numbers = digits(pl.concat([values("number", _NUMBER), values("number", _RUN)]))
    numbers = numbers.with_columns(pl.col("value").str.strip_chars_start("0"))
    return pl.concat([digits(values("iccid", _ICCID)), numbers, values("ip_address", _ADDRESS)])


def _known(sim_facts: pl.DataFrame) -> pl.DataFrame:
    """The fleet's identifiers: kind, value (as `find_sims` seeks it), iccid; without those that two SIMs share."""
    frames = []
    for kind in ("iccid", *IDENTIFIERS):
        if kind not in sim_facts.columns:
            continue
        value = pl.col(kind).cast(pl.String, strict=False)
        if kind == "label":
            value = value.str.strip_chars().str.to_lowercase().str.replace_all(r"\s+", " ")
            value = pl.when(value.str.len_chars() >= MIN_LABEL).then(value)
        elif kind != "ip_address":
            value = value.str.replace_all(r"\D", "").str.strip_chars_start("0")
            value = value.str.slice(0, {"iccid": 19, "imei": 14}.get(kind, 20))
        # an ICCID in the fleet's own spelling
        frames.append(sim_facts.select(kind=pl.lit(kind), value=value, iccid=pl.col("iccid").cast(pl.String)))
    known = pl.concat(frames).drop_nulls().filter(pl.col("value") != "").unique()
    return known.filter(pl.len().over("kind", "value") == 1)


def _labels(tickets: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Every run of words that may be a label, as long as the longest label has words."""
    labels = known.filter(pl.col("kind") == "label")["value"]
    if labels.is_empty():
        return pl.DataFrame(schema={"ticket": pl.UInt32, "kind": pl.String, "value": pl.String})
    longest = labels.str.count_matches(" ").max()
    words = (
        tickets.select("ticket", value=pl.col("text").str.to_lowercase().str.extract_all(_WORD))
        .explode("value")
        .drop_nulls()
    )
    words = words.with_columns(pl.col("value").str.strip_chars_end(".:-/"))
    runs = [words]
    for size in range(1, min(longest if isinstance(longest, int) else 0, MAX_LABEL_WORDS - 1) + 1):
        parts = [pl.col("value").shift(-k).over("ticket") for k in range(size + 1)]
        runs.append(words.select("ticket", value=pl.concat_str(parts, separator=" ")).drop_nulls())
    return pl.concat(runs).select("ticket", kind=pl.lit("label"), value="value")


def _luhn(digits: pl.Expr) -> pl.Expr:
    """Whether the last of 20 digits is the check digit of those before."""
    total = pl.lit(0)
    for place in range(20):
        digit = digits.str.slice(place, 1).cast(pl.Int32, strict=False)
        doubled = digit * 2 if place % 2 == 0 else digit
        total = total + doubled - pl.when(doubled > 9).then(9).otherwise(0)
    return total % 10 == 0
