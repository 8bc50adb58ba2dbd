-- One row: to which day stream records are booked (NULL: none yet), and the first day of them all.
SELECT (SELECT streamed_to FROM ops.usage_book) AS streamed_to, (SELECT min(day) FROM own.stream_usage) AS first_day;
