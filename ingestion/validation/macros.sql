-- Macros that turn the texts of a record into exact values: money, instants, counts and JSON (see macros.py,
-- which replaces the names in braces by constants and defines the macros in a connection).

-- Whether a text needs a closer look: it has a run of 16 digits and points (a number that a DOUBLE may not
-- hold), a comma before a closing bracket, NaN or Infinity. When every record was looked at closely, that
-- took six of the ten seconds of a load.
create or replace temp macro is_odd(t) as regexp_matches(t, '[0-9.]{16}|,\s*[}\]]|(?i:nan|inf)');
-- Whether a field that was extracted from its JSON is an object, a list, a boolean, or a text that looks like
-- one. Comparisons are the fastest way to test a first letter.
create or replace temp macro may_be_no_scalar(t) as
    (t < '\' and t >= '[') or (t >= '{' and t < '|') or t = 'true' or t = 'false';
create or replace temp macro has_long_number(t) as regexp_matches(t, '[0-9.]{16}');

-- Strings are matched, too, so that no number inside of one is: after a string the mark is empty, and removed.
create or replace temp macro mark_numbers(t) as replace(
    regexp_replace(t, '("(?:[^"\\]|\\.)*")|(-?[0-9][0-9.eE+-]*)', '\1"\\u0001{MARK}\2"', 'gs'),
    '"\u0001{MARK}"', ''
);
create or replace temp macro unmark(t) as replace(t, chr(1) || '{MARK}', '');
create or replace temp macro unmark_json(t) as regexp_replace(t, '"\\u0001{MARK}([^"]*)"', '\1', 'g');

-- DuckDB's parser accepts trailing commas, NaN and Infinity; RFC 8259 does not.
create or replace temp macro looks_lax(t) as regexp_matches(t, ',\s*[}\]]|[:\[,]\s*-?(?i:nan|inf)');
create or replace temp macro is_lax(t) as
    looks_lax(t) and looks_lax(regexp_replace(t, '"(?:[^"\\]|\\.)*"', '""', 'g'));
create or replace temp macro json_problem(t) as case
    when not json_valid(t) or is_lax(t) then 'invalid_json'
    when not starts_with(ltrim(t), '{') then 'not_an_object'
end;

create or replace temp macro is_plain_decimal(t) as
    regexp_full_match(t, '-?[0-9]{1,{MAX_AMOUNT_DIGITS}}(\.[0-9]{1,12})?');
create or replace temp macro is_decimal(t) as
    regexp_full_match(t, '[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?');
create or replace temp macro decimal_digits(t) as
    regexp_extract(t, '^[+-]?([0-9]*)\.?([0-9]*)', 1) || regexp_extract(t, '^[+-]?([0-9]*)\.?([0-9]*)', 2);
create or replace temp macro decimal_exponent(t) as case
    when not regexp_matches(t, '[eE]') then 0
    else coalesce(
        try_cast(regexp_extract(t, '[eE]([+-]?[0-9]+)$', 1) as integer),
        case when regexp_matches(t, '[eE]-') then -1000000 else 1000000 end
    )
end;
-- The significant digits, and how many of them are before the decimal point. The number is larger than the
-- number of digits if zeros follow them, and negative if zeros are between the point and the first digit.
create or replace temp macro significant_digits(t) as trim(decimal_digits(t), '0');
create or replace temp macro digits_before_point(t) as
    length(regexp_extract(t, '^[+-]?([0-9]*)', 1)) + decimal_exponent(t)
    - (length(decimal_digits(t)) - length(ltrim(decimal_digits(t), '0')));
create or replace temp macro money_problem(t) as case
    when is_plain_decimal(t) then null
    when not is_decimal(t) then 'bad_amount'
    when significant_digits(t) = '' then null
    when digits_before_point(t) > {MAX_AMOUNT_DIGITS} then 'amount_too_large'
    when length(significant_digits(t)) - digits_before_point(t) > 12 then 'too_many_decimals'
end;
create or replace temp macro written_out(t) as case
    when significant_digits(t) = '' then '0'
    when digits_before_point(t) <= 0
        then '0.' || repeat('0', -digits_before_point(t)) || significant_digits(t)
    when digits_before_point(t) >= length(significant_digits(t))
        then rpad(significant_digits(t), digits_before_point(t)::integer, '0')
    else significant_digits(t)[:digits_before_point(t)] || '.'
        || significant_digits(t)[digits_before_point(t) + 1:]
end;
create or replace temp macro exact_money(t) as case
    when is_plain_decimal(t) then cast(t as decimal(38, 12))
    when money_problem(t) is null and t is not null
        then cast(case when starts_with(t, '-') then '-' else '' end || written_out(t) as decimal(38, 12))
end;

create or replace temp macro is_rfc_time(t) as regexp_full_match(
    t, '[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])'
);
-- As Postgres and programs around it write an instant: +00, +0000, UTC, perhaps with a space before it.
create or replace temp macro is_database_time(t) as regexp_full_match(
    t, '[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]+)? ?([Zz]|(?i:utc)|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)'
);
create or replace temp macro is_time(t) as is_rfc_time(t) or is_database_time(t);
-- The cases keep the second pattern, and the replacement, for the texts that are not of the first one.
create or replace temp macro exact_time(t) as case
    when is_rfc_time(t) then coalesce(try_cast(t as timestamptz), try_cast(upper(t) as timestamptz))
    when is_database_time(t)
        then try_cast(regexp_replace(replace(upper(t), 'UTC', 'Z'), ' ?(Z|[+-][0-9:]+)$', '\1') as timestamptz)
end;
create or replace temp macro is_plausible(instant) as
    instant >= timestamptz '{EARLIEST}' and instant < timestamptz '{LATEST}';
create or replace temp macro time_problem(t) as case
    when is_plausible(exact_time(t)) then null
    when exact_time(t) is not null then 'time_out_of_range'
    when regexp_full_match(t, '[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?)?')
        then 'time_without_offset'
    else 'bad_time'
end;

-- A time without an offset, or a date, which is its midnight.
create or replace temp macro local_time(t) as case
    when regexp_full_match(t, '[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ]([01][0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?)?')
        then try_cast(upper(t) as timestamp)
end;
-- An instant that is written with its offset, or as a local time of a zone. Returns NULL for a local time
-- whose zone is NULL.
create or replace temp macro zoned_time(t, zone) as case
    when is_time(t) then exact_time(t)
    else timezone(zone, local_time(t))
end;
-- Seconds or milliseconds since 1970, with any number of decimals, of which six or three are kept.
create or replace temp macro epoch_time(t, unit) as case
    when not regexp_full_match(t, '[0-9]{1,15}(\.[0-9]*)?') then null
    when unit = 's' and regexp_full_match(t, '[0-9]{1,12}(\..*)?') then make_timestamptz(cast(
        split_part(t, '.', 1) || rpad(left(split_part(t, '.', 2), 6), 6, '0') as bigint
    ))
    when unit = 'ms' then make_timestamptz(cast(
        split_part(t, '.', 1) || rpad(left(split_part(t, '.', 2), 3), 3, '0') as bigint
    ))
end;
-- The times of Stripe's reports: without an offset, in a zone that the file's facts or the column's name
-- state, or in Unix seconds.
create or replace temp macro stripe_time(t, zone) as case
    when regexp_full_match(t, '[0-9]{9,10}') then make_timestamptz(cast(t as bigint) * 1000000)
    else zoned_time(t, zone)
end;

create or replace temp macro count_problem(t) as case
    when regexp_full_match(t, '[0-9]{1,{MAX_COUNT_ZEROS}}(\.0+)?') then null
    when regexp_full_match(t, '0*([0-9]{1,{MAX_COUNT_ZEROS}}|10{{MAX_COUNT_ZEROS}})(\.0+)?') then null
    when regexp_full_match(t, '[0-9]+(\.0+)?') then 'count_too_large'
    when regexp_full_match(t, '-[0-9]+(\.[0-9]+)?') then 'negative_count'
    else 'bad_count'
end;
create or replace temp macro exact_count(t) as case when count_problem(t) is null then cast(t as bigint) end;
-- Takes 2 s for 1 M lines, so it is used for rejects and deliveries only.
create or replace temp macro without_line_end(t) as rtrim(t, e'\r\n');
-- Messages are read on terminals, which control characters could change.
create or replace temp macro shown(t) as regexp_replace(
    case when length(t) > 60 then left(t, 60) || '…' else t end,
    '[\x00-\x1f\x7f-\x{9f}\x{2028}\x{2029}\x{202a}-\x{202e}\x{2066}-\x{2069}]', '�', 'g'
);

-- What mappings make of the texts of other systems (ingestion/sources/mappings/).

-- The text of a JSON column: that of the object, or the JSON text in a text.
create or replace temp macro json_text(t) as
    nullif(case when starts_with(t, '"') then json_extract_string(t, '$') else t end, '');
create or replace temp macro is_json(t) as json_valid(t) and not is_lax(t);
-- A part of it, with all digits of its numbers.
-- A part that is an object or a list is none: it may hold anything.
create or replace temp macro json_part(t, path) as nullif(case
    when t is null or not is_json(t) or json_type(t, path) in ('OBJECT', 'ARRAY') then null
    when has_long_number(t) then unmark(json_extract_string(mark_numbers(t), path))
    else json_extract_string(t, path)
end, '');
create or replace temp macro with_decimal_point(t) as case
    when regexp_full_match(t, '[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]*)(,[0-9]+)?') then replace(replace(t, '.', ''), ',', '.')
    else t
end;
-- Whether the last digits of a number stand behind a comma, or behind a point that cannot separate thousands.
create or replace temp macro has_decimal_comma(t) as coalesce(regexp_full_match(t, '[+-]?[0-9.]*,[0-9]+'), false);
create or replace temp macro has_decimal_point(t) as coalesce(
    regexp_full_match(t, '[+-]?[0-9,]*\.[0-9]+') and not regexp_full_match(t, '[+-]?[1-9][0-9]{0,2}\.[0-9]{3}'), false
);
-- A float has at most 17 digits and is often written with an exponent: its text without one. NULL for a text that is
-- no number, or that no amount can hold.
create or replace temp macro is_small_float(t) as
    regexp_full_match(t, '-?[0-9](\.[0-9]{1,16})?[eE]-(0[1-9]|[1-9][0-9]?)');
create or replace temp macro sign_of(t) as case when starts_with(t, '-') then '-' else '' end;
create or replace temp macro float_text(t) as case
    when regexp_full_match(t, '-?[0-9]{1,{MAX_AMOUNT_DIGITS}}(\.[0-9]+)?') then t
    when is_small_float(t)
        then sign_of(t) || '0.' || repeat('0', cast(regexp_extract(t, '[0-9]+$') as integer) - 1)
            || replace(regexp_extract(t, '[0-9.]+'), '.', '')
    when is_decimal(t) and coalesce(money_problem(t), '') <> 'amount_too_large' then sign_of(t) || written_out(t)
end;
-- The first 12 decimals of such a text, and the further ones.
create or replace temp macro kept_decimals(plain) as
    case when contains(plain, '.') then left(plain, strpos(plain, '.') + 12) else plain end;
create or replace temp macro cut_decimals(plain) as
    case when contains(plain, '.') then rtrim(plain[strpos(plain, '.') + 13:], '0') else '' end;
create or replace temp macro is_rounded(plain) as cut_decimals(plain) <> '';
-- Halves are rounded to the even neighbour. A text of digits is more than a half if it comes after '5'.
create or replace temp macro float_money(plain) as case
    when cut_decimals(plain) = '' then cast(kept_decimals(plain) as decimal(38, 12))
    else cast(kept_decimals(plain) as decimal(38, 12)) + case
        when cut_decimals(plain) > '5' or (cut_decimals(plain) = '5' and kept_decimals(plain)[-1] in ('1', '3', '5', '7', '9'))
            then case when starts_with(plain, '-') then -0.000000000001 else 0.000000000001 end
        else 0.000000000000
    end
end;

-- Whether a text is a number that an amount can hold, apart from its decimals.
create or replace temp macro is_amount(t) as is_plain_decimal(t) or is_small_float(t)
    or (is_decimal(t) and coalesce(money_problem(t), '') <> 'amount_too_large');
-- Whether a number is none or zero, whatever its exponent.
create or replace temp macro is_zero(t) as t is null or regexp_full_match(t, '[-+0.]+([eE].*)?');
-- A number with the decimals of any float below 10^9, and one below 10^18 with fewer; NULL for one that is larger.
create or replace temp macro finest(t) as try_cast(t as decimal(38, 29));
create or replace temp macro coarser(t) as try_cast(t as decimal(38, 18));
create or replace temp macro plain_text(number) as regexp_replace(cast(number as varchar), '\.?0*$', '');

-- The text of a changed amount: with another sign, or with the point at another place.
create or replace temp macro negated(t) as case
    when starts_with(t, '-') then t[2:] when starts_with(t, '+') then '-' || t[2:] else '-' || t
end;
create or replace temp macro with_exponent(t, places) as case
    when is_decimal(t) then regexp_extract(t, '^[^eE]+') || 'e' || (decimal_exponent(t) + places) else t
end;
-- An amount without its exponent. A text of a thousand zeros would be no amount either, so it stays as it is.
create or replace temp macro without_exponent(t) as
    case when money_problem(t) is null then sign_of(t) || written_out(t) else t end;

-- How many decimals Stripe's minor units of a currency have. ISK and UGX have two, although their amounts end in 00
-- (docs/sources/stripe.md). Without a currency the amount is unknown.
create or replace temp macro minor_unit_places(currency) as case
    when currency is null then null
    when lower(currency) in ('bif', 'clp', 'djf', 'gnf', 'jpy', 'kmf', 'krw', 'mga', 'pyg', 'rwf', 'vnd', 'vuv', 'xaf', 'xof', 'xpf')
        then 0
    when lower(currency) in ('bhd', 'jod', 'kwd', 'omr', 'tnd') then 3
    else 2
end;

-- Bills (ingestion/sources/bills/): a text without e-mail addresses and secret keys. The `@` in claude-opus-4@20250514
-- is none of an address.
create or replace temp macro masked(t) as case
    when contains(t, '@') or contains(t, 'sk-') then regexp_replace(
        regexp_replace(t, '[^\s@<>",;:()|=]+@([\p{L}\p{N}-]+\.)+\p{L}{2,}', '[e-mail]', 'g'), '\bsk-[A-Za-z0-9_-]{16,}', '[key]', 'g'
    )
    else t
end;
